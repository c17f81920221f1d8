//! A page of webhooks for the terminal, and where the next one begins.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::config::Config;
use shared::db::parked_webhooks::rows::ParkedCursor;
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
    Ok(Page { webhooks: found.entries, next, note, still_waiting })
}

impl Shown for Page {
    fn text(&self) -> String {
        let row = |webhook: &Entry| {
            let Entry { source, webhook_id, topic, status, at, failed_attempts, duplicates, .. } = webhook;
            let [attempts, duplicates] = [failed_attempts.to_string(), duplicates.to_string()];
            let (status, at) = (status.as_str().to_owned(), at.format(&Rfc3339).unwrap_or_default());
            [source.clone(), webhook_id.clone(), topic.clone(), status, attempts, duplicates, at]
                .map(|cell| printable(&cell))
        };
        let head = ["SOURCE", "ID", "TOPIC", "STATUS", "FAILED", "DUPLICATES", "SINCE"];
        let mut text = match &self.webhooks[..] {
            [] => "no such webhook was processed, is parked or is retried\n".to_owned(),
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
