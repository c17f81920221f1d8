//! Emptying what was sent: addresses and texts of customers are kept no longer than bodies are.
//!
//! Invariant: the row and its key stay for ever, and a row that has yet to be sent, or waits for a person, is left as it is.

use tokio_postgres::{Error, GenericClient};

const PURGE: &str = "
    UPDATE outbox
    SET intent = '{}', last_error = NULL, purged_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox
        WHERE state IN ('sent', 'cancelled') AND purged_at IS NULL AND settled_at < now() - make_interval(days => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM outbox
    WHERE state IN ('sent', 'cancelled') AND purged_at IS NULL AND settled_at < now() - make_interval(days => $1)";

/// Empties up to `limit` rows that were sent or cancelled more than `days` ago; returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn purge(client: &impl GenericClient, days: i32, limit: i64) -> Result<u64, Error> {
    client.execute(PURGE, &[&days, &limit]).await
}

/// How many rows [`purge`] would empty.
///
/// # Errors
/// When the statement fails.
pub async fn count_expired(client: &impl GenericClient, days: i32) -> Result<i64, Error> {
    client.query_one(COUNT_EXPIRED, &[&days]).await?.try_get("rows")
}
