//! `webhook_failures`: every failed attempt, for the person who asks why.

use deadpool_postgres::{Client, Transaction};
use time::OffsetDateTime;
use tokio_postgres::{Error, GenericClient};

use super::processed_webhooks::WebhookKey;
use crate::message::Message;

const RECORD: &str = "
    INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error)
    VALUES ($1, $2, $3, $4, $5)";

const LIST: &str = "
    SELECT attempt, outcome, error, occurred_at FROM webhook_failures
    WHERE source = $1 AND webhook_id = $2
    ORDER BY id";

/// The ladder takes less than half a day; what failed before is parked or lost to it.
const RETRYING: &str = "
    SELECT source, webhook_id, max(attempt) + 1 AS attempts, max(occurred_at) AS last_failed_at
    FROM (SELECT source, webhook_id, attempt, occurred_at FROM webhook_failures
          WHERE occurred_at > now() - interval '12 hours' ORDER BY occurred_at DESC LIMIT 2000) AS failed
    WHERE NOT EXISTS (SELECT FROM processed_webhooks AS processed
                      WHERE processed.source = failed.source AND processed.webhook_id = failed.webhook_id)
      AND NOT EXISTS (SELECT FROM parked_webhooks AS parked
                      WHERE parked.source = failed.source AND parked.webhook_id = failed.webhook_id)
    GROUP BY source, webhook_id
    ORDER BY last_failed_at DESC
    LIMIT $1";

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
    let statement = transaction.prepare_cached(RECORD).await?;
    transaction.execute(&statement, &[&message.source.as_str(), &message.id, &attempt, &outcome, &error]).await?;
    Ok(())
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
}

/// Every failed attempt of one webhook that is still on record, the oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn list(client: &Client, key: &WebhookKey) -> Result<Vec<FailureRow>, Error> {
    let rows = client.query(&client.prepare_cached(LIST).await?, &[&key.source, &key.webhook_id]).await?;
    rows.iter()
        .map(|row| {
            let (attempt, outcome) = (row.try_get("attempt")?, row.try_get("outcome")?);
            Ok(FailureRow { attempt, outcome, error: row.try_get("error")?, occurred_at: row.try_get("occurred_at")? })
        })
        .collect()
}

/// A webhook that has failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryingRow {
    /// What it is known by.
    pub key: WebhookKey,
    /// How many attempts have failed.
    pub attempts: i32,
    /// When the last of them did.
    pub last_failed_at: OffsetDateTime,
}

/// Webhooks on the retry ladder, as far as the last two thousand failures tell; the last to fail first.
///
/// # Errors
/// When the statement fails.
pub async fn retrying(client: &Client, limit: i64) -> Result<Vec<RetryingRow>, Error> {
    let rows = client.query(&client.prepare_cached(RETRYING).await?, &[&limit]).await?;
    rows.iter()
        .map(|row| {
            let key = WebhookKey { source: row.try_get("source")?, webhook_id: row.try_get("webhook_id")? };
            Ok(RetryingRow { key, attempts: row.try_get("attempts")?, last_failed_at: row.try_get("last_failed_at")? })
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
