//! The row that tells whether its destination is back, while the others of its effect wait.
//!
//! Rows that fail for reasons of their own are due again and again, and so, sooner or later, longer than any other. A
//! probe that were one of them would say of the destination that it is away, and keep all others waiting. So it is the
//! row that was tried least, and of those the one that is due longest.
//!
//! It is looked for among the 500 rows that are due longest and the 500 that became due last, which the index
//! `outbox_due_by_effect` leads to: a fresh row is among the latter, however many are due before it.

use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::Error;

use super::{Lease, leased};

/// A row that somebody took meanwhile may be pending again, and not due.
const LEASE_PROBE: &str = lease_those!(
    "
        SELECT id FROM outbox
        WHERE state = 'pending' AND next_attempt_at <= now() AND id = ANY (ARRAY(
            (SELECT id FROM outbox
             WHERE state = 'pending' AND effect = $1 AND next_attempt_at <= now() AND kind = ANY ($3::text[])
             ORDER BY next_attempt_at
             LIMIT 500)
            UNION ALL
            (SELECT id FROM outbox
             WHERE state = 'pending' AND effect = $1 AND next_attempt_at <= now() AND kind = ANY ($3::text[])
             ORDER BY next_attempt_at DESC
             LIMIT 500)))
          AND $1 NOT IN (SELECT effect FROM paused_effects)
        ORDER BY attempts, next_attempt_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED"
);

/// What is being sent is one of a few rows, by the index `outbox_leased`.
const IS_UNDER_WAY: &str = "
    SELECT EXISTS (SELECT FROM outbox WHERE state = 'pending' AND effect = $1)
        OR EXISTS (SELECT FROM outbox WHERE state = 'sending' AND effect = $1) AS is_under_way";

/// Leases the row of an effect that is to be its probe, if one of these kinds is due; never of a paused effect.
///
/// # Errors
/// When the statement fails.
pub async fn lease(client: &Client, effect: &str, lease: Duration, kinds: &[&str]) -> Result<Option<Lease>, Error> {
    let statement = client.prepare_cached(LEASE_PROBE).await?;
    client.query_opt(&statement, &[&effect, &lease.as_secs_f64(), &kinds]).await?.as_ref().map(leased).transpose()
}

/// Whether any row of an effect waits, due or not, or is being sent: by whomever, since a row that another worker sends
/// may wait again in a moment.
///
/// # Errors
/// When the statement fails.
pub async fn is_under_way(client: &Client, effect: &str) -> Result<bool, Error> {
    let statement = client.prepare_cached(IS_UNDER_WAY).await?;
    client.query_one(&statement, &[&effect]).await?.try_get("is_under_way")
}
