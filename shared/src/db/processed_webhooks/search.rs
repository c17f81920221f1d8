//! Looking for processed webhooks, the newest first, among any number of them.
//!
//! Each source is walked down its own index, and the walks are merged: whatever the filter, a page reads about as many
//! rows as it is asked for. What no index serves (topic, status) is the caller's to sift, page by page, for as long as it
//! has time.

use deadpool_postgres::Client;
use time::{Date, OffsetDateTime};
use tokio_postgres::types::Json;
use tokio_postgres::{Error, Row};

use super::{Status, WebhookKey};
use crate::plan::Skip;

/// Every source that has rows, found by hops through the index.
macro_rules! sources {
    () => {
        "WITH RECURSIVE hops AS (
            (SELECT source FROM processed_webhooks ORDER BY source LIMIT 1)
            UNION ALL
            SELECT (SELECT source FROM processed_webhooks WHERE source > hops.source ORDER BY source LIMIT 1)
            FROM hops WHERE hops.source IS NOT NULL
        ), sources AS (SELECT source FROM hops WHERE source IS NOT NULL) "
    };
}

macro_rules! columns {
    () => {
        "processed.source, processed.webhook_id, processed.topic, processed.status, processed.received_at,
         processed.first_processed_at, processed.attempt, processed.skips, processed.duplicates,
         processed.changed_bodies, processed.last_duplicate_at, processed.replay_of, processed.replay_run,
         encode(processed.body_sha256, 'hex') AS body_sha256,
         (processed.first_processed_at AT TIME ZONE 'UTC')::date AS stored_on"
    };
}

const PAGE: &str = concat!(
    sources!(),
    "SELECT ",
    columns!(),
    " FROM sources CROSS JOIN LATERAL (
        SELECT * FROM processed_webhooks AS one
        WHERE one.source = sources.source AND one.first_processed_at >= $2 AND one.first_processed_at <= $3
          AND (one.first_processed_at, one.source, one.webhook_id) < ($3, $4, $5)
        ORDER BY one.first_processed_at DESC, one.webhook_id DESC
        LIMIT $6) AS processed
      WHERE $1::text IS NULL OR sources.source = $1
      ORDER BY processed.first_processed_at DESC, processed.source DESC, processed.webhook_id DESC
      LIMIT $6"
);

const WITH_ID: &str = concat!(
    sources!(),
    "SELECT ",
    columns!(),
    " FROM sources JOIN processed_webhooks AS processed ON processed.source = sources.source AND processed.webhook_id = $1
      ORDER BY processed.source LIMIT 100"
);

const WITH_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($1::text[], $2::text[]) AS wanted (source, webhook_id)
      JOIN processed_webhooks AS processed USING (source, webhook_id)
      ORDER BY processed.first_processed_at DESC, processed.source DESC, processed.webhook_id DESC"
);

const REPLAYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM processed_webhooks AS processed
      WHERE processed.source = $1 AND processed.replay_of = $2
      ORDER BY processed.first_processed_at LIMIT 100"
);

const LATEST: &str = concat!(
    sources!(),
    "SELECT latest.source, latest.received_at
     FROM sources CROSS JOIN LATERAL (
        SELECT source, received_at FROM processed_webhooks AS one WHERE one.source = sources.source
        ORDER BY one.first_processed_at DESC, one.webhook_id DESC LIMIT 1) AS latest"
);

/// A processed webhook, with all that its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRow {
    /// What it is known by.
    pub key: WebhookKey,
    /// The topic, as the provider names it.
    pub topic: String,
    /// How it was processed.
    pub status: Status,
    /// When ingest had received it.
    pub received_at: OffsetDateTime,
    /// When it was processed.
    pub processed_at: OffsetDateTime,
    /// How many attempts had failed before.
    pub attempt: i32,
    /// What effects left out.
    pub skips: Vec<Skip>,
    /// How often it arrived again.
    pub duplicates: i32,
    /// How many of these had another body.
    pub changed_bodies: i32,
    /// When the last of them was seen.
    pub last_duplicate_at: Option<OffsetDateTime>,
    /// For a replay: the first id, and the run.
    pub replay: Option<(String, String)>,
    /// SHA-256 of its body, in hex.
    pub body_sha256: String,
    /// The day its body was stored on.
    pub stored_on: Date,
}

/// A part of the walk: what lies behind the last row that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Of one source.
    pub source: Option<String>,
    /// Not older.
    pub since: OffsetDateTime,
    /// When the last row that was seen was processed; a moment for the first page, of which only older ones are taken.
    pub before: OffsetDateTime,
    /// What that row is known by; empty for the first page.
    pub before_key: WebhookKey,
}

/// The next rows of a walk, at most `limit`, the newest first.
///
/// # Errors
/// When the statement fails.
pub async fn page(client: &Client, stretch: &Stretch, limit: i64) -> Result<Vec<FoundRow>, Error> {
    let statement = client.prepare_cached(PAGE).await?;
    let Stretch { source, since, before, before_key } = stretch;
    let rows =
        client.query(&statement, &[source, since, before, &before_key.source, &before_key.webhook_id, &limit]).await?;
    rows.iter().map(FoundRow::read).collect()
}

/// The webhooks with this id, of whatever source.
///
/// # Errors
/// When the statement fails.
pub async fn with_id(client: &Client, id: &str) -> Result<Vec<FoundRow>, Error> {
    let rows = client.query(&client.prepare_cached(WITH_ID).await?, &[&id]).await?;
    rows.iter().map(FoundRow::read).collect()
}

/// Those of these webhooks that were processed, the newest first.
///
/// # Errors
/// When the statement fails.
pub async fn with_keys(client: &Client, keys: &[WebhookKey]) -> Result<Vec<FoundRow>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.webhook_id.as_str()).collect();
    let rows = client.query(&client.prepare_cached(WITH_KEYS).await?, &[&sources, &ids]).await?;
    rows.iter().map(FoundRow::read).collect()
}

/// The replays of a webhook, the first first; at most a hundred.
///
/// # Errors
/// When the statement fails.
pub async fn replays_of(client: &Client, key: &WebhookKey) -> Result<Vec<FoundRow>, Error> {
    let rows = client.query(&client.prepare_cached(REPLAYS).await?, &[&key.source, &key.webhook_id]).await?;
    rows.iter().map(FoundRow::read).collect()
}

/// When the last webhook of each source was received that was processed.
///
/// # Errors
/// When the statement fails.
pub async fn latest(client: &Client) -> Result<Vec<(String, OffsetDateTime)>, Error> {
    let rows = client.query(&client.prepare_cached(LATEST).await?, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("source")?, row.try_get("received_at")?))).collect()
}

impl FoundRow {
    fn read(row: &Row) -> Result<Self, Error> {
        let of: Option<String> = row.try_get("replay_of")?;
        let run: Option<String> = row.try_get("replay_run")?;
        let Json(skips) = row.try_get("skips")?;
        Ok(Self {
            key: super::key(row)?,
            topic: row.try_get("topic")?,
            status: row.try_get("status")?,
            received_at: row.try_get("received_at")?,
            processed_at: row.try_get("first_processed_at")?,
            attempt: row.try_get("attempt")?,
            skips,
            duplicates: row.try_get("duplicates")?,
            changed_bodies: row.try_get("changed_bodies")?,
            last_duplicate_at: row.try_get("last_duplicate_at")?,
            replay: of.zip(run),
            body_sha256: row.try_get("body_sha256")?,
            stored_on: row.try_get("stored_on")?,
        })
    }
}
