//! Emptying what needs nobody any more: bodies and headers of resolved and discarded webhooks are kept no longer than
//! those of processed ones.
//!
//! Invariant: what waits for a person, or is on its way, keeps its body, however old it is. An emptied row counts as
//! changed, so that nobody who has looked at it before redrives an empty body.

use tokio_postgres::{Error, GenericClient};

const PURGE: &str = "
    UPDATE parked_webhooks
    SET body = '', headers = '{}', generation = generation + 1
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM parked_webhooks
        WHERE state IN ('resolved', 'discarded') AND (octet_length(body) > 0 OR headers <> '{}')
          AND changed_at < now() - make_interval(days => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM parked_webhooks
    WHERE state IN ('resolved', 'discarded') AND (octet_length(body) > 0 OR headers <> '{}')
      AND changed_at < now() - make_interval(days => $1)";

/// Empties up to `limit` rows that were resolved or discarded more than `days` ago; returns how many.
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
