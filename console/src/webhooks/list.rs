//! A page of processed webhooks, and where the next one begins.
//!
//! Source and time are looked up; topic and status are sifted out of what that finds, up to a bound: then the page ends
//! early and says where to go on.

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::parked_webhooks::rows::ParkedCursor;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::search::{self, FoundRow, Stretch};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::command::ListArgs;
use crate::output::{Shown, printable, table};
use crate::parked::list::After;

/// Rows that are read at once.
const STRETCH: u32 = 1_000;
/// Rows that are looked at for one page.
const MOST: usize = 100_000;

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    webhooks: Vec<ListedWebhook>,
    /// What `--after` is told for the next page; `null` when this was the last one.
    next: Option<After>,
}

#[derive(Debug, Serialize)]
struct ListedWebhook {
    #[serde(flatten)]
    key: WebhookKey,
    topic: String,
    status: &'static str,
    /// How many attempts had failed before.
    attempt: i32,
    duplicates: i32,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    processed_at: OffsetDateTime,
}

/// Up to `limit` webhooks, the last processed first.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn list(client: &Client, wanted: &ListArgs) -> anyhow::Result<Page> {
    if let Some(id) = &wanted.id {
        let found = search::with_id(client, id).await.context("cannot read the processed webhooks")?;
        let of_source = |row: &FoundRow| wanted.source.as_ref().is_none_or(|source| row.key.source == *source);
        let webhooks = found.into_iter().filter(|row| of_source(row) && wanted.takes(row)).map(ListedWebhook::from);
        return Ok(Page { webhooks: webhooks.collect(), next: None });
    }
    let mut stretch = first(client, wanted).await?;
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let (mut webhooks, mut looked_at) = (Vec::new(), 0);
    loop {
        let rows =
            search::page(client, &stretch, STRETCH.into()).await.context("cannot read the processed webhooks")?;
        let is_last = rows.len() < STRETCH as usize;
        looked_at += rows.len();
        for row in rows {
            if webhooks.len() == limit {
                return Ok(Page { webhooks, next: Some(behind(&stretch)) });
            }
            (stretch.before, stretch.before_key) = (row.processed_at, row.key.clone());
            if wanted.takes(&row) {
                webhooks.push(ListedWebhook::from(row));
            }
        }
        if is_last {
            return Ok(Page { webhooks, next: None });
        }
        if looked_at >= MOST {
            return Ok(Page { webhooks, next: Some(behind(&stretch)) });
        }
    }
}

/// Where the walk begins.
async fn first(client: &Client, wanted: &ListArgs) -> anyhow::Result<Stretch> {
    let (source, since) = (wanted.source.clone(), wanted.since.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    if let Some(After(ParkedCursor { parked_at: before, key: before_key })) = wanted.after.clone() {
        return Ok(Stretch { source, since, before, before_key });
    }
    let before = match wanted.until {
        Some(until) => until,
        None => shared::db::now(client).await.context("cannot ask the database for the time")?,
    };
    let before_key = WebhookKey { source: String::new(), webhook_id: String::new() };
    Ok(Stretch { source, since, before, before_key })
}

impl ListArgs {
    fn takes(&self, row: &FoundRow) -> bool {
        self.topic.as_ref().is_none_or(|topic| row.topic == *topic)
            && self.status.is_none_or(|status| row.status == status)
    }
}

impl From<FoundRow> for ListedWebhook {
    fn from(row: FoundRow) -> Self {
        let FoundRow { key, topic, status, attempt, duplicates, received_at, processed_at, .. } = row;
        Self { key, topic, status: status.as_str(), attempt, duplicates, received_at, processed_at }
    }
}

/// The last webhook that was looked at.
fn behind(stretch: &Stretch) -> After {
    After(ParkedCursor { parked_at: stretch.before, key: stretch.before_key.clone() })
}

impl Shown for Page {
    fn text(&self) -> String {
        let row = |webhook: &ListedWebhook| {
            let counts = [webhook.attempt.to_string(), webhook.duplicates.to_string()];
            let [attempts, duplicates] = counts;
            let processed = webhook.processed_at.format(&Rfc3339).unwrap_or_default();
            let (source, id) = (webhook.key.source.clone(), webhook.key.webhook_id.clone());
            [source, id, webhook.topic.clone(), webhook.status.to_owned(), attempts, duplicates, processed]
                .map(|cell| printable(&cell))
        };
        let head = ["SOURCE", "ID", "TOPIC", "STATUS", "FAILED", "DUPLICATES", "PROCESSED"];
        let mut text = match &self.webhooks[..] {
            [] => "no such webhook was processed; what waits for a person: oncehook parked ls\n".to_owned(),
            webhooks => table(head, webhooks.iter().map(row)),
        };
        if let Some(next) = &self.next {
            text += &format!("more: --after '{}'\n", printable(&String::from(next.clone())));
        }
        text
    }
}
