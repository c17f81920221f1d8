//! What of the outbox is not done, for the metrics: asked every few seconds, and so bounded.
//!
//! Sent rows are kept for ever and are never counted here. Of every other state at most [`MOST_COUNTED`] rows are: beyond
//! it a number means "at least". Each count reads a partial index (`outbox_due_by_effect`, `outbox_leased`,
//! `outbox_troubled`). What a person has paused is counted, and is not late.

use tokio_postgres::{Error, GenericClient};

/// Where counting ends, in rows of a state.
pub const MOST_COUNTED: i64 = 100_000;

const READ: &str = concat!(
    waiting_effects!(),
    "
    SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'pending' LIMIT $1) AS row) AS pending,
           (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'sending' LIMIT $1) AS row) AS sending,
           (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'held' LIMIT $1) AS row) AS held,
           (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'failed' LIMIT $1) AS row) AS failed,
           (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'pending' AND attempts > 0 LIMIT $1) AS row)
               AS failing,
           (SELECT extract(epoch FROM now() - min(due.next_attempt_at))::float8
            FROM waiting CROSS JOIN LATERAL (
                SELECT next_attempt_at FROM outbox
                WHERE state = 'pending' AND effect = waiting.effect AND next_attempt_at <= now()
                ORDER BY next_attempt_at LIMIT 1) AS due
            WHERE waiting.effect NOT IN (SELECT effect FROM paused_effects)) AS oldest_due_s,
           (SELECT extract(epoch FROM now() - created_at)::float8
            FROM (SELECT created_at, effect FROM outbox WHERE state = 'pending' AND attempts > 0
                  ORDER BY created_at LIMIT $1) AS failing
            WHERE effect NOT IN (SELECT effect FROM paused_effects)
            ORDER BY created_at LIMIT 1) AS oldest_failing_s,
           ARRAY(SELECT effect FROM paused_effects ORDER BY effect) AS paused"
);

/// What of the outbox is not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Rows that wait for their turn.
    pub pending: i64,
    /// Rows that a worker has leased.
    pub sending: i64,
    /// Rows that are ambiguous, or that a person holds; both wait for a person.
    pub held: i64,
    /// Rows that were given up and wait for a person.
    pub failed: i64,
    /// Those of the pending rows that were tried before, in vain.
    pub failing: i64,
    /// For how long the oldest pending row of an effect that is not paused has been due, in seconds; `None` if none is.
    pub oldest_due_s: Option<f64>,
    /// How long ago the oldest failing row of an effect that is not paused was planned, in seconds; `None` if there is
    /// none.
    pub oldest_failing_s: Option<f64>,
    /// The effects that a person has paused.
    pub paused: Vec<String>,
}

/// Reads it.
///
/// # Errors
/// When the statement fails.
pub async fn read(client: &impl GenericClient) -> Result<Backlog, Error> {
    let row = client.query_one(READ, &[&MOST_COUNTED]).await?;
    Ok(Backlog {
        pending: row.try_get("pending")?,
        sending: row.try_get("sending")?,
        held: row.try_get("held")?,
        failed: row.try_get("failed")?,
        failing: row.try_get("failing")?,
        oldest_due_s: row.try_get("oldest_due_s")?,
        oldest_failing_s: row.try_get("oldest_failing_s")?,
        paused: row.try_get("paused")?,
    })
}
