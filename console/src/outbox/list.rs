//! A page of the outbox, and where the next one begins. What is sent, and to whom, is not shown: it is the customers'.

use anyhow::Context;
use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use serde::Serialize;
use shared::config::Config;
use shared::db::outbox::rows::{self, OutboxRow, Show};
use shared::name::Name;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::arguments::{ListArgs, Listed};
use crate::output::{Shown, printable, table};

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    effects: Vec<OutboxRow>,
    /// What `--after` is told for the next page; `null` when this was the last one.
    next: Option<i64>,
}

/// Up to `limit` rows, the last planned first; what waits in the order in which it is due.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn list(client: &Client, config: Option<&Config>, arguments: &ListArgs) -> anyhow::Result<Page> {
    let ListArgs { state, webhook, effect, limit, after } = arguments;
    let most = usize::try_from(*limit).unwrap_or(usize::MAX);
    let webhook = config.zip(webhook.as_deref());
    let wanted = Wanted { show: state.map(Listed::show), webhook, effect: effect.as_deref() };
    let page = read(client, &wanted, *after, most).await;
    let rows::Page { rows, next } = page.context("cannot read the outbox")?;
    Ok(Page { effects: rows, next })
}

/// Which effects.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'w> {
    /// `None`: what needs a person; of one webhook, all.
    pub(crate) show: Option<Show>,
    /// Of one webhook, by its id, of any source that is configured.
    pub(crate) webhook: Option<(&'w Config, &'w str)>,
    pub(crate) effect: Option<&'w str>,
}

/// A page, for the terminal and for the pages alike. What one webhook brought about is on one.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn read(
    client: &Client,
    wanted: &Wanted<'_>,
    behind: Option<i64>,
    most: usize,
) -> Result<rows::Page, Error> {
    let Wanted { show, webhook, effect } = *wanted;
    let Some((config, id)) = webhook else {
        return rows::list(client, show.unwrap_or(Show::Attention), effect, behind, most).await;
    };
    let sources: Vec<&str> = config.sources.keys().map(Name::as_str).collect();
    let mut rows = rows::of_id(client, &sources, id).await?;
    rows.retain(|row| show.is_none_or(|show| show.takes(row)) && effect.is_none_or(|effect| row.effect == effect));
    Ok(rows::Page { rows, next: None })
}

impl Shown for Page {
    fn text(&self) -> String {
        if self.effects.is_empty() {
            return "there is no such effect in the outbox\n".to_owned();
        }
        let row = |row: &OutboxRow| {
            let state = if row.ambiguous { format!("{}, ambiguous", row.state) } else { row.state.clone() };
            let webhook = row.webhook_id.clone().unwrap_or_else(|| "-".to_owned());
            let error = row.last_error.clone().unwrap_or_else(|| "-".to_owned());
            let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
            let (planned, next) = (time(row.created_at), row.due_at().map_or_else(|| "-".to_owned(), time));
            [row.id.to_string(), row.effect.clone(), webhook, state, row.attempts.to_string(), planned, next, error]
                .map(|cell| printable(&cell))
        };
        let head = ["ID", "EFFECT", "WEBHOOK", "STATE", "ATTEMPTS", "PLANNED", "NEXT", "LAST ERROR"];
        let mut text = table(head, self.effects.iter().map(row));
        if let Some(next) = self.next {
            text += &format!("more: --after {next}\n");
        }
        text
    }
}
