//! What a person does with rows of the outbox: send again, hold, cancel.
//!
//! What is being sent is nobody's but its worker's: it is left alone, and so is what was sent. A worker that settles
//! late names the fence of a lease that has ended, and hits nothing. What retention has emptied holds nothing to be sent.

use deadpool_postgres::Client;
use tokio_postgres::Error;

/// Locks the rows in one order, so that two people never wait for each other in a circle.
macro_rules! locked {
    ($states:literal) => {
        concat!(
            "WITH locked AS (
                SELECT id FROM outbox WHERE id = ANY ($1::int8[]) AND state IN (",
            $states,
            ") AND purged_at IS NULL ORDER BY id FOR UPDATE
            ) UPDATE outbox SET "
        )
    };
}

/// From here on its attempts count anew: a row that was given up gets as many as a new one.
const RESEND: &str = concat!(
    locked!("'pending', 'held', 'failed', 'cancelled'"),
    "state = 'pending', attempts = 0, next_attempt_at = now(), settled_at = NULL
     FROM locked WHERE outbox.id = locked.id RETURNING outbox.id"
);

const HOLD: &str =
    concat!(locked!("'pending'"), "state = 'held' FROM locked WHERE outbox.id = locked.id RETURNING outbox.id");

const CANCEL: &str = concat!(
    locked!("'pending', 'held', 'failed'"),
    "state = 'cancelled', settled_at = now() FROM locked WHERE outbox.id = locked.id RETURNING outbox.id"
);

/// What a person wants with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// Send it now: what waits, was held, given up or cancelled.
    Resend,
    /// Do not send it until a person says so: what waits.
    Hold,
    /// Never send it: what waits, is held or was given up.
    Cancel,
}

/// Does it to those rows that are in a state for it; returns which.
///
/// # Errors
/// When the statement fails; then nothing is changed.
pub async fn steer(client: &Client, steer: Steer, ids: &[i64]) -> Result<Vec<i64>, Error> {
    let statement = match steer {
        Steer::Resend => RESEND,
        Steer::Hold => HOLD,
        Steer::Cancel => CANCEL,
    };
    let rows = client.query(&client.prepare_cached(statement).await?, &[&ids]).await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}
