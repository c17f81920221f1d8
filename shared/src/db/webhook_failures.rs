//! `webhook_failures`: every failed attempt, for the person who asks why. What is on the retry ladder is looked at in
//! [`ladder`].
//!
//! Not promised: those of a body with several webhooks once it is taken apart. It is claimed by nobody, so nothing else
//! would tell that it is not retried any more.

pub mod ladder;

use deadpool_postgres::{Client, Transaction};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient};

use super::processed_webhooks::WebhookKey;
use crate::message::Message;

const RECORD: &str = "
    INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error, topic, received_at, trace_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const LIST: &str = "
    SELECT attempt, outcome, error, occurred_at, topic, received_at, trace_id FROM webhook_failures
    WHERE source = $1 AND webhook_id = $2
    ORDER BY id";

const FORGET_RETRIES: &str = "
    DELETE FROM webhook_failures WHERE source = $1 AND webhook_id = $2 AND outcome = 'retry'";

const PURGE: &str = "
    DELETE FROM webhook_failures
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_failures
        WHERE occurred_at < now() - make_interval(days => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM webhook_failures WHERE occurred_at < now() - make_interval(days => $1)";

const COUNT_WITHIN: &str = "
    SELECT count(*) AS rows FROM webhook_failures WHERE occurred_at >= now() - make_interval(secs => $1)";

/// What became of a webhook after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureOutcome {
    /// It went to the retry ladder.
    Retry,
    /// It was parked.
    Park,
}

/// Records a failed attempt.
///
/// # Errors
/// When the statement fails.
pub async fn record(
    transaction: &Transaction<'_>,
    message: &Message,
    outcome: FailureOutcome,
    error: &str,
) -> Result<(), Error> {
    let attempt = i32::try_from(message.attempt).unwrap_or(i32::MAX);
    let outcome = match outcome {
        FailureOutcome::Retry => "retry",
        FailureOutcome::Park => "park",
    };
    let (source, topic, trace_id) = (message.source.as_str(), super::storable(&message.topic), message.trace_id());
    let statement = transaction.prepare_cached(RECORD).await?;
    let values: [&(dyn ToSql + Sync); 8] =
        [&source, &message.id, &attempt, &outcome, &error, &topic, &message.received_at, &trace_id];
    transaction.execute(&statement, &values).await?;
    Ok(())
}

/// Deletes the failed attempts that were to be followed by another.
///
/// # Errors
/// When the statement fails.
pub async fn forget_retries(transaction: &Transaction<'_>, source: &str, webhook_id: &str) -> Result<(), Error> {
    let statement = transaction.prepare_cached(FORGET_RETRIES).await?;
    transaction.execute(&statement, &[&source, &webhook_id]).await?;
    Ok(())
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FailureRow {
    /// How many attempts had failed before this one.
    pub attempt: i32,
    /// `retry` or `park`.
    pub outcome: String,
    /// What went wrong.
    pub error: String,
    /// When it went wrong.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// The webhook's topic, as the provider names it; `null` when an older worker wrote this down.
    pub topic: Option<String>,
    /// When ingest had received the webhook; `null` as above.
    #[serde(with = "time::serde::rfc3339::option")]
    pub received_at: Option<OffsetDateTime>,
    /// The W3C trace id that the webhook came with or was given.
    pub trace_id: Option<String>,
}

/// Every failed attempt of one webhook that is still on record, the oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn list(client: &Client, key: &WebhookKey) -> Result<Vec<FailureRow>, Error> {
    let rows = client.query(&client.prepare_cached(LIST).await?, &[&key.source, &key.webhook_id]).await?;
    rows.iter()
        .map(|row| {
            Ok(FailureRow {
                attempt: row.try_get("attempt")?,
                outcome: row.try_get("outcome")?,
                error: row.try_get("error")?,
                occurred_at: row.try_get("occurred_at")?,
                topic: row.try_get("topic")?,
                received_at: row.try_get("received_at")?,
                trace_id: row.try_get("trace_id")?,
            })
        })
        .collect()
}

/// How many attempts have failed within the last seconds.
///
/// # Errors
/// When the statement fails.
pub async fn count_within(client: &Client, seconds: f64) -> Result<i64, Error> {
    client.query_one(&client.prepare_cached(COUNT_WITHIN).await?, &[&seconds]).await?.try_get("rows")
}

/// How many rows are older than `days`.
///
/// # Errors
/// When the statement fails.
pub async fn count_expired(client: &impl GenericClient, days: i32) -> Result<i64, Error> {
    client.query_one(COUNT_EXPIRED, &[&days]).await?.try_get("rows")
}

/// Deletes up to `limit` rows older than `days`; returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn purge(client: &impl GenericClient, days: i32, limit: i64) -> Result<u64, Error> {
    client.execute(PURGE, &[&days, &limit]).await
}
