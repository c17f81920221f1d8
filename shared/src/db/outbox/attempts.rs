//! `outbox_attempts`: every attempt to send that did not succeed, with its error, for the person who asks why.
//!
//! Written in the statement that settles the attempt, so that each is there once or not at all; one that succeeds writes
//! nothing. Errors name customers' addresses, and are purged with the bodies.

use deadpool_postgres::Client;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::{Error, GenericClient};

/// A part of the statement that settles: notes what was settled otherwise than as sent.
macro_rules! note_settled {
    () => {
        "INSERT INTO outbox_attempts (outbox_id, attempt, outcome, error)
         SELECT settling.id, locked.attempts,
                CASE WHEN settling.ambiguous THEN 'ambiguous' WHEN settling.state = 'pending' THEN 'retry'
                     ELSE 'failed' END,
                coalesce(settling.error, '')
         FROM settling JOIN locked ON locked.id = settling.id AND locked.fence = settling.fence
         WHERE settling.state <> 'sent'"
    };
}
pub(super) use note_settled;

/// A part of the statement that takes up rows whose lease ran out: notes whose worker ended without a word.
macro_rules! note_lost {
    () => {
        "INSERT INTO outbox_attempts (outbox_id, attempt, outcome, error)
         SELECT id, attempts, 'lost', last_error FROM expired"
    };
}
pub(super) use note_lost;

const OF: &str = "
    SELECT outbox_id, attempt, outcome, error, at FROM outbox_attempts
    WHERE outbox_id = ANY ($1::int8[])
    ORDER BY id
    LIMIT 1000";

const PURGE: &str = "
    DELETE FROM outbox_attempts
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox_attempts
        WHERE at < now() - make_interval(days => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM outbox_attempts WHERE at < now() - make_interval(days => $1)";

/// One attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AttemptRow {
    /// The effect's number.
    pub outbox_id: i64,
    /// Which attempt it was since the effect was planned or a person last sent it again; the first is 1.
    pub attempt: i32,
    /// `retry`, `ambiguous`, `failed` or `lost`.
    pub outcome: String,
    /// What went wrong.
    pub error: String,
    /// When it was settled.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// The attempts of these effects that did not succeed and are still on record, the first first; at most a thousand.
///
/// # Errors
/// When the statement fails.
pub async fn of(client: &Client, ids: &[i64]) -> Result<Vec<AttemptRow>, Error> {
    let rows = client.query(&client.prepare_cached(OF).await?, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRow {
                outbox_id: row.try_get("outbox_id")?,
                attempt: row.try_get("attempt")?,
                outcome: row.try_get("outcome")?,
                error: row.try_get("error")?,
                at: row.try_get("at")?,
            })
        })
        .collect()
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
