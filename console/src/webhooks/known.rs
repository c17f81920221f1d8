//! What the database knows of one webhook, and what the provider sent: for the terminal and for the pages alike.

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use shared::db::outbox::attempts::{self, AttemptRow};
use shared::db::outbox::rows::{self as outbox, OutboxRow};
use shared::db::parked_webhooks::rows::{self as parked, ParkedRow};
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::search::{self, FoundRow};
use shared::db::webhook_failures::ladder::{self, RetryingRow};
use shared::db::webhook_failures::{self, FailureRow};
use shared::db::{Content, webhook_payloads};

/// What the tables say of a webhook.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) processed: Option<FoundRow>,
    pub(crate) parked: Option<ParkedRow>,
    /// Its last failure, if it is on the retry ladder.
    pub(crate) retrying: Option<RetryingRow>,
    /// Every failed attempt that is on record.
    pub(crate) failures: Vec<FailureRow>,
    pub(crate) replays: Vec<FoundRow>,
    /// What it brought about, its replays included.
    pub(crate) effects: Vec<OutboxRow>,
    /// The attempts to send them that did not succeed, as far as they are on record.
    pub(crate) attempts: Vec<AttemptRow>,
}

impl Known {
    /// Reads it; `None` when nothing is known. `days` is for how long ids of processed webhooks are kept.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn read(client: &Client, days: i32, key: &WebhookKey) -> Result<Option<Self>, Error> {
        let processed = search::with_keys(client, std::slice::from_ref(key)).await?.pop();
        let parked = parked::find(client, key).await?;
        let failures = webhook_failures::list(client, key).await?;
        let retrying = ladder::last_of(client, days, std::slice::from_ref(key)).await?.pop();
        if processed.is_none() && parked.is_none() && failures.is_empty() {
            return Ok(None);
        }
        let replays = search::replays_of(client, key).await?;
        let ids = std::iter::once(key).chain(replays.iter().map(|replay| &replay.key));
        let ids: Vec<&str> = ids.map(|key| key.webhook_id.as_str()).collect();
        let effects = outbox::of_webhooks(client, &key.source, &ids).await?;
        let rows: Vec<i64> = effects.iter().map(|row| row.id).collect();
        let attempts = if rows.is_empty() { Vec::new() } else { attempts::of(client, &rows).await? };
        Ok(Some(Self { processed, parked, retrying, failures, replays, effects, attempts }))
    }

    /// The W3C trace id that it came with or was given: kept with its body, and after that with what it brought about, or
    /// with its failed attempts.
    pub(crate) fn trace_id(&self, key: &WebhookKey, content: Option<&Content>) -> Option<String> {
        let of_body = content.and_then(|content| content.trace_id.clone());
        let own = self.effects.iter().filter(|row| row.webhook_id.as_ref() == Some(&key.webhook_id));
        let of_effects = || own.filter_map(|row| row.trace_id.clone()).next();
        let of_failures = || self.failures.iter().rev().find_map(|failure| failure.trace_id.clone());
        of_body.or_else(of_effects).or_else(of_failures)
    }

    /// What the provider sent, from wherever it is kept: where it was stored when it was processed, or else where it was
    /// parked. `None` when it is purged, or on the retry ladder, where only the queue has it.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn content(&self, client: &Client, key: &WebhookKey) -> Result<Option<Content>, Error> {
        if let Some(row) = &self.processed
            && let Some(content) = webhook_payloads::read(client, row.stored_on, key).await?
        {
            return Ok(Some(content));
        }
        // What was parked and processed meanwhile may have come with another body, and is emptied in the end.
        let is_it = |row: &&ParkedRow| {
            !row.is_purged && self.processed.as_ref().is_none_or(|processed| processed.body_sha256 == row.body_sha256)
        };
        match self.parked.as_ref().filter(is_it) {
            Some(_row) => parked::content(client, key).await,
            None => Ok(None),
        }
    }
}
