//! What the database knows of one webhook: read once, for the terminal and for the pages alike.

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use shared::db::outbox::rows::{self as outbox, OutboxRow};
use shared::db::parked_webhooks::rows::{self as parked, ParkedRow};
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::search::{self, FoundRow};
use shared::db::webhook_failures::{self, FailureRow};

/// What the tables say of a webhook.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) processed: Option<FoundRow>,
    pub(crate) parked: Option<ParkedRow>,
    /// Every failed attempt that is on record.
    pub(crate) failures: Vec<FailureRow>,
    pub(crate) replays: Vec<FoundRow>,
    /// What it brought about, its replays included.
    pub(crate) effects: Vec<OutboxRow>,
}

impl Known {
    /// Reads it; `None` when nothing is known.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn read(client: &Client, key: &WebhookKey) -> Result<Option<Self>, Error> {
        let processed = search::with_keys(client, std::slice::from_ref(key)).await?.pop();
        let parked = parked::find(client, key).await?;
        let failures = webhook_failures::list(client, key).await?;
        if processed.is_none() && parked.is_none() && failures.is_empty() {
            return Ok(None);
        }
        let replays = search::replays_of(client, key).await?;
        let ids = std::iter::once(key).chain(replays.iter().map(|replay| &replay.key));
        let ids: Vec<&str> = ids.map(|key| key.webhook_id.as_str()).collect();
        let effects = outbox::of_webhooks(client, &key.source, &ids).await?;
        Ok(Some(Self { processed, parked, failures, replays, effects }))
    }
}
