//! How many rows the outbox has: by state, and what waits by effect.

use deadpool_postgres::Client;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::{Error, GenericClient};

/// A state at a time, so that each finds its partial index. What is done with is counted only while the table is small.
const BY_STATE: &str = "
    SELECT 'pending' AS state, count(*) AS rows, count(*) FILTER (WHERE ambiguous) AS ambiguous, min(created_at) AS oldest
    FROM outbox WHERE state = 'pending' HAVING count(*) > 0
    UNION ALL
    SELECT 'sending', count(*), count(*) FILTER (WHERE ambiguous), min(created_at)
    FROM outbox WHERE state = 'sending' HAVING count(*) > 0
    UNION ALL
    SELECT state, count(*), count(*) FILTER (WHERE ambiguous), min(created_at)
    FROM outbox WHERE state IN ('held', 'failed') GROUP BY state
    UNION ALL
    SELECT state, count(*), count(*) FILTER (WHERE ambiguous), min(created_at)
    FROM outbox
    WHERE state IN ('sent', 'cancelled')
      AND (SELECT reltuples FROM pg_class WHERE oid = 'outbox'::regclass) <= $1::float8
    GROUP BY state
    ORDER BY state";

/// Beyond so many rows, by Postgres' own estimate, nobody waits for the count of those that are done with.
const COUNTED_WHOLE: f64 = 1_000_000.0;

/// Bounded by what a page may take: beyond it, it is simply many. Each state has a bound of its own, so that many of one
/// hide none of another.
const BOUNDED: &str = "
    SELECT 'pending' AS state, count(*) AS rows, min(created_at) AS oldest
    FROM (SELECT created_at FROM outbox WHERE state = 'pending' ORDER BY effect, next_attempt_at LIMIT $1) AS pending
    UNION ALL
    SELECT 'sending', count(*), min(created_at)
    FROM (SELECT created_at FROM outbox WHERE state = 'sending' ORDER BY lease_until LIMIT $1) AS sending
    UNION ALL
    SELECT 'held', count(*), min(created_at)
    FROM (SELECT created_at FROM outbox WHERE state = 'held' ORDER BY created_at LIMIT $1) AS held HAVING count(*) > 0
    UNION ALL
    SELECT 'failed', count(*), min(created_at)
    FROM (SELECT created_at FROM outbox WHERE state = 'failed' ORDER BY created_at LIMIT $1) AS failed
    HAVING count(*) > 0
    UNION ALL
    SELECT 'cancelled', count(*), min(created_at)
    FROM (SELECT created_at FROM outbox WHERE state = 'cancelled' LIMIT $1) AS cancelled HAVING count(*) > 0
    UNION ALL
    SELECT 'ambiguous', count(*), min(created_at)
    FROM (SELECT created_at FROM outbox WHERE ambiguous LIMIT $1) AS ambiguous
    UNION ALL
    SELECT 'all', greatest(reltuples, 0)::int8, NULL FROM pg_class WHERE oid = 'outbox'::regclass";

/// Effect by effect: of what is due first, and of what failed longest ago, each up to the bound: rows that failed are due
/// later than any number of fresh ones, and would be hidden by them.
const WAITING: &str = concat!(
    waiting_effects!(),
    "
    SELECT effect, count(*) AS pending, count(*) FILTER (WHERE attempts > 0) AS failing,
           min(created_at) AS oldest,
           (array_agg(last_error ORDER BY id DESC) FILTER (WHERE attempts > 0 AND last_error IS NOT NULL))[1] AS last_error
    FROM ((SELECT due.* FROM waiting CROSS JOIN LATERAL (
               SELECT id, effect, attempts, last_error, created_at FROM outbox
               WHERE state = 'pending' AND effect = waiting.effect ORDER BY next_attempt_at LIMIT $1) AS due)
          UNION
          (SELECT id, effect, attempts, last_error, created_at FROM outbox WHERE state = 'pending' AND attempts > 0
           ORDER BY created_at LIMIT $1)) AS pending
    GROUP BY effect ORDER BY effect"
);

/// Rows of one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: String,
    /// How many rows.
    pub rows: i64,
    /// How many of them are ambiguous.
    pub ambiguous: i64,
    /// When the oldest was planned.
    #[serde(with = "time::serde::rfc3339")]
    pub oldest: OffsetDateTime,
}

/// Rows of one state, counted up to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundedCount {
    /// The state; `ambiguous`; or `all`, which is the planner's estimate.
    pub state: String,
    /// How many; the bound when there are more.
    pub rows: i64,
    /// When the oldest of those counted was planned.
    #[serde(with = "time::serde::rfc3339::option")]
    pub oldest: Option<OffsetDateTime>,
}

/// What waits for one effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The configured effect.
    pub effect: String,
    /// How many rows wait to be sent.
    pub pending: i64,
    /// How many of them were tried in vain since a person last sent them again.
    pub failing: i64,
    /// When the oldest was planned.
    #[serde(with = "time::serde::rfc3339")]
    pub oldest: OffsetDateTime,
    /// Why the newest of those that failed did.
    pub last_error: Option<String>,
}

/// Rows by state. Those that were sent or cancelled are left out when there are about a million rows or more: counting
/// them would read the whole table.
///
/// # Errors
/// When the statement fails.
pub async fn by_state(client: &impl GenericClient) -> Result<Vec<StateCount>, Error> {
    let rows = client.query(BY_STATE, &[&COUNTED_WHOLE]).await?;
    rows.iter()
        .map(|row| {
            Ok(StateCount {
                state: row.try_get("state")?,
                rows: row.try_get("rows")?,
                ambiguous: row.try_get("ambiguous")?,
                oldest: row.try_get("oldest")?,
            })
        })
        .collect()
}

/// Rows by state, each counted up to `bound`.
///
/// # Errors
/// When the statement fails.
pub async fn bounded(client: &Client, bound: i64) -> Result<Vec<BoundedCount>, Error> {
    let rows = client.query(&client.prepare_cached(BOUNDED).await?, &[&bound]).await?;
    rows.iter()
        .map(|row| {
            Ok(BoundedCount {
                state: row.try_get("state")?,
                rows: row.try_get("rows")?,
                oldest: row.try_get("oldest")?,
            })
        })
        .collect()
}

/// What waits, by effect, among its `bound` rows that are due first and the `bound` of all that have been tried in vain
/// for longest.
///
/// # Errors
/// When the statement fails.
pub async fn waiting(client: &Client, bound: i64) -> Result<Vec<Waiting>, Error> {
    let rows = client.query(&client.prepare_cached(WAITING).await?, &[&bound]).await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                effect: row.try_get("effect")?,
                pending: row.try_get("pending")?,
                failing: row.try_get("failing")?,
                oldest: row.try_get("oldest")?,
                last_error: row.try_get("last_error")?,
            })
        })
        .collect()
}
