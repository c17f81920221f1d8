//! A page of the outbox, and where the next one begins. What is sent, and to whom, is not shown: it is the customers'.

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::outbox::rows::{self, OutboxRow};
use time::format_description::well_known::Rfc3339;

use super::arguments::ListArgs;
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
pub(crate) async fn list(client: &Client, arguments: &ListArgs) -> anyhow::Result<Page> {
    let ListArgs { state, effect, limit, after } = arguments;
    let most = usize::try_from(*limit).unwrap_or(usize::MAX);
    let page = rows::list(client, state.show(), effect.as_deref(), *after, most).await;
    let rows::Page { rows, next } = page.context("cannot read the outbox")?;
    Ok(Page { effects: rows, next })
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
            let planned = row.created_at.format(&Rfc3339).unwrap_or_default();
            [row.id.to_string(), row.effect.clone(), webhook, state, row.attempts.to_string(), planned, error]
                .map(|cell| printable(&cell))
        };
        let head = ["ID", "EFFECT", "WEBHOOK", "STATE", "ATTEMPTS", "PLANNED", "LAST ERROR"];
        let mut text = table(head, self.effects.iter().map(row));
        if let Some(next) = self.next {
            text += &format!("more: --after {next}\n");
        }
        text
    }
}
