//! A page of webhooks for the terminal, and where the next one begins.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::config::Config;
use shared::db::parked_webhooks::rows::ParkedCursor;
use shared::db::processed_webhooks::WebhookKey;
use time::format_description::well_known::Rfc3339;

use super::entry::Entry;
use super::search::{self, Note, Wanted};
use super::waiting::StillWaiting;
use super::walk::{Behind, Measure};
use crate::output::{Shown, printable, table};
use crate::parked::list::After;
use crate::settings::Settings;

/// How long a command may look for a page.
const PATIENCE: Duration = Duration::from_secs(30);

const NONE: &str = "no such webhook was processed, is parked or is retried";

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    webhooks: Vec<Entry>,
    /// What `--after` is told for the next page; `null` when this was the last one.
    next: Option<After>,
    /// How far the search came, where it ended before it was through.
    note: Option<String>,
    /// Where nothing was found: how many are still on their way.
    still_waiting: Option<StillWaiting>,
    /// Whether an id or a key was looked for.
    #[serde(skip)]
    by_key: bool,
}

/// Up to `limit` webhooks, the newest first.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn list(
    client: &Client,
    (config, settings): (&Config, &Settings),
    wanted: &Wanted,
    limit: usize,
) -> anyhow::Result<Page> {
    let measure = Measure { entries: limit, patience: PATIENCE };
    let found = search::find(client, config, wanted, measure).await.context("cannot look for webhooks")?;
    let note = Note::of(wanted, &found).map(Note::sentence);
    let still_waiting = match found.entries.is_empty() {
        true => Some(StillWaiting::ask(settings, config).await),
        false => None,
    };
    let next = found.next.map(|Behind { at, key }| After(ParkedCursor { parked_at: at, key }));
    Ok(Page { webhooks: found.entries, next, note, still_waiting, by_key: wanted.query.is_some() })
}

/// The only webhook with this id or key.
///
/// # Errors
/// When there is none or more than one, or they cannot be read.
pub(crate) async fn only(client: &Client, config: &Config, query: &str) -> anyhow::Result<WebhookKey> {
    match &search::with_key(client, config, query).await.context("cannot look for webhooks")?[..] {
        [one] => Ok(one.key()),
        [] => anyhow::bail!("no webhook with the id or key {query} is known; `oncehook webhooks ls` looks for more"),
        _ => anyhow::bail!("more than one webhook has the key {query}: `oncehook webhooks ls '{query}'` lists them"),
    }
}

impl Shown for Page {
    fn text(&self) -> String {
        let row = |webhook: &Entry| {
            let Entry { source, webhook_id, topic, at, failed_attempts, duplicates, .. } = webhook;
            let [attempts, duplicates] = [failed_attempts.to_string(), duplicates.to_string()];
            let (status, at) = (webhook.standing(), at.format(&Rfc3339).unwrap_or_default());
            [source.clone(), webhook_id.clone(), topic.clone(), status, attempts, duplicates, at]
                .map(|cell| printable(&cell))
        };
        let head = ["SOURCE", "ID", "TOPIC", "STATUS", "FAILED ATTEMPTS", "DUPLICATES", "SINCE"];
        let mut text = match &self.webhooks[..] {
            [] if self.by_key => {
                format!("{NONE}; an id or key has to be whole: --text finds a part, by reading bodies\n")
            }
            [] => format!("{NONE}\n"),
            webhooks => table(head, webhooks.iter().map(row)),
        };
        text += &self.still_waiting.iter().map(|waiting| format!("{}\n", waiting.sentence())).collect::<String>();
        text += &self.note.iter().map(|note| format!("{note}\n")).collect::<String>();
        if let Some(next) = &self.next {
            text += &format!("more: --after '{}'\n", printable(&String::from(next.clone())));
        }
        text
    }
}
