//! What can be replayed: webhooks that were processed first, page by page in that order.
//!
//! Replays are not among them: what is run again is always the first. A walk names the run, and leaves out what that
//! run has done, so that one that was cut off goes on where it was.

use deadpool_postgres::Client;
use time::{Date, OffsetDateTime};
use tokio_postgres::{Error, Row};

use super::{Status, WebhookKey};

/// A row, and the day its body was stored on: the same transaction, the same clock.
macro_rules! columns {
    () => {
        "source, webhook_id, topic, status, received_at, first_processed_at, replay_of, replay_run,
         (first_processed_at AT TIME ZONE 'UTC')::date AS stored_on"
    };
}

const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM processed_webhooks AS processed
      WHERE replay_of IS NULL
        AND ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR topic = $2) AND ($3::text IS NULL OR status = $3)
        AND ($4::timestamptz IS NULL OR first_processed_at >= $4)
        AND ($5::timestamptz IS NULL OR first_processed_at < $5)
        AND ($6::timestamptz IS NULL OR (first_processed_at, source, webhook_id) > ($6, $7::text, $8::text))
        AND NOT EXISTS (
            SELECT FROM processed_webhooks AS replay
            WHERE replay.source = processed.source AND replay.replay_of = processed.webhook_id
              AND replay.replay_run = $9)
      ORDER BY first_processed_at, source, webhook_id
      LIMIT $10"
);

const FIND: &str = concat!("SELECT ", columns!(), " FROM processed_webhooks WHERE source = $1 AND webhook_id = $2");

const IS_TAKEN: &str = "
    SELECT FROM processed_webhooks WHERE source = $1 AND replay_of = $2 AND replay_run = $3";

/// Which processed webhooks a walk takes. What is `None` takes all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessedFilter {
    /// From which source.
    pub source: Option<String>,
    /// Of which topic.
    pub topic: Option<String>,
    /// How they were processed.
    pub status: Option<Status>,
    /// Processed then or later.
    pub since: Option<OffsetDateTime>,
    /// Processed before.
    pub until: Option<OffsetDateTime>,
}

/// The last row that a walk has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessedCursor {
    /// When it was processed.
    pub first_processed_at: OffsetDateTime,
    /// What it is known by.
    pub key: WebhookKey,
}

/// A processed webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessedRow {
    /// What it is known by.
    pub key: WebhookKey,
    /// The topic, as the provider names it.
    pub topic: String,
    /// How it was processed.
    pub status: Status,
    /// When ingest had received it.
    pub received_at: OffsetDateTime,
    /// When it was processed.
    pub first_processed_at: OffsetDateTime,
    /// The day its body was stored on.
    pub stored_on: Date,
    /// For a replay: the first id, and the run.
    pub replay: Option<(String, String)>,
}

/// The next rows of a walk that `run` has not done, at most `limit`; an empty page is its end.
///
/// # Errors
/// When the statement fails.
pub async fn page(
    client: &Client,
    filter: &ProcessedFilter,
    run: &str,
    after: Option<&ProcessedCursor>,
    limit: i64,
) -> Result<Vec<ProcessedRow>, Error> {
    let statement = client.prepare_cached(PAGE).await?;
    let rows = client
        .query(
            &statement,
            &[
                &filter.source,
                &filter.topic,
                &filter.status.map(Status::as_str),
                &filter.since,
                &filter.until,
                &after.map(|after| after.first_processed_at),
                &after.map(|after| &after.key.source),
                &after.map(|after| &after.key.webhook_id),
                &run,
                &limit,
            ],
        )
        .await?;
    rows.iter().map(ProcessedRow::read).collect()
}

/// Whether a run has done a webhook already.
///
/// # Errors
/// When the statement fails.
pub async fn is_taken(client: &Client, key: &WebhookKey, run: &str) -> Result<bool, Error> {
    let statement = client.prepare_cached(IS_TAKEN).await?;
    Ok(client.query_opt(&statement, &[&key.source, &key.webhook_id, &run]).await?.is_some())
}

/// One processed webhook, or one replay.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, key: &WebhookKey) -> Result<Option<ProcessedRow>, Error> {
    let row = client.query_opt(&client.prepare_cached(FIND).await?, &[&key.source, &key.webhook_id]).await?;
    row.as_ref().map(ProcessedRow::read).transpose()
}

impl ProcessedRow {
    /// Where a walk goes on behind this row.
    #[must_use]
    pub fn cursor(&self) -> ProcessedCursor {
        ProcessedCursor { first_processed_at: self.first_processed_at, key: self.key.clone() }
    }

    fn read(row: &Row) -> Result<Self, Error> {
        let of: Option<String> = row.try_get("replay_of")?;
        let run: Option<String> = row.try_get("replay_run")?;
        Ok(Self {
            key: super::key(row)?,
            topic: row.try_get("topic")?,
            status: row.try_get("status")?,
            received_at: row.try_get("received_at")?,
            first_processed_at: row.try_get("first_processed_at")?,
            stored_on: row.try_get("stored_on")?,
            replay: of.zip(run),
        })
    }
}
