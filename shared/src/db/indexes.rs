//! Indexes that only make things faster, built and dropped beside a running system.
//!
//! A migration that builds an index holds up whoever writes until it is through, and waits, with all who come behind it,
//! for whoever reads. So an index that no promise rests on is no migration: it is built by CREATE INDEX CONCURRENTLY, in
//! no transaction, after the migrations, by one session at a time. It waits for every transaction that is open, and
//! nobody waits for it. What a build that was cut off has left is made anew.
//!
//! Not promised: that they are there. Without them, pages are slow, and so is leasing while very many rows wait; nothing
//! else.

use std::collections::HashMap;

use deadpool_postgres::{Client, Object, Pool};
use tokio_postgres::Error;

use super::migrate::MigrateError;

/// The advisory lock of whoever builds ("indx"). Nobody waits for it: who waits for a lock holds a snapshot, for whose end
/// the builder would wait.
const LOCK: i64 = 0x696e_6478;
const BEGIN: &str = "SET lock_timeout = 0; SET statement_timeout = 0";
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1) AS locked";
const VALID: &str = "
    SELECT relname AS name, indisvalid AS valid FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace";

/// Each by its name and what it is on. To change one, give it a new name and add the old one to [`DROPPED`].
const BUILT: [(&str, &str); 6] = [
    // What waits, by where it goes: rows of an effect that is paused, or whose destination is away, are stepped over as a
    // whole, however many they are. The first, since sending goes slowly without it.
    ("outbox_due_by_effect", "outbox (effect, next_attempt_at) WHERE state = 'pending'"),
    // Effects that need a person, by state; also by effect, and how old they are. What is simply sent is in none.
    (
        "outbox_by_state",
        "outbox (state, id) INCLUDE (effect, created_at) WHERE state IN ('held', 'failed', 'cancelled')",
    ),
    // What was tried in vain, among any number of fresh ones.
    ("outbox_failing", "outbox (id) INCLUDE (effect, created_at) WHERE state = 'pending' AND attempts > 0"),
    ("outbox_ambiguous", "outbox (id) INCLUDE (effect, created_at) WHERE ambiguous"),
    // What is parked, by time, in either direction; what was processed meanwhile is in neither.
    (
        "parked_webhooks_unresolved",
        "parked_webhooks (parked_at, source, webhook_id) INCLUDE (state, reason, changed_at, redriven_at)
         WHERE state <> 'resolved'",
    ),
    // Counted by reason without reading the rows.
    (
        "parked_webhooks_by_reason",
        "parked_webhooks (reason, parked_at) INCLUDE (state, changed_at, redriven_at)
         WHERE state IN ('parked', 'redriving')",
    ),
];
/// Indexes of earlier versions that those above stand in for.
const DROPPED: [&str; 3] = ["outbox_due", "outbox_attention", "parked_webhooks_open"];

/// What became of the indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    /// All are there; these were built now.
    All(Vec<&'static str>),
    /// Another session is at it.
    ByAnother,
}

/// Builds what is missing or broken and drops what is not needed any more, waiting for nothing but open transactions.
///
/// # Errors
/// When the database is away or a statement fails; what was built stays, and another call goes on.
pub async fn build(pool: &Pool) -> Result<Built, MigrateError> {
    // The session carries the lock and odd timeouts: it is closed, not given back, also by whoever drops this future.
    let client = Object::take(pool.get().await?);
    client.batch_execute(BEGIN).await?;
    if !client.query_one(TRY_LOCK, &[&LOCK]).await?.try_get::<_, bool>("locked")? {
        return Ok(Built::ByAnother);
    }
    let found = valid(&client).await?;
    let mut built = Vec::new();
    for (name, on) in BUILT {
        match found.get(name) {
            Some(true) => continue,
            Some(false) => client.batch_execute(&format!("DROP INDEX CONCURRENTLY {name}")).await?,
            None => {}
        }
        client.batch_execute(&format!("CREATE INDEX CONCURRENTLY {name} ON {on}")).await?;
        built.push(name);
    }
    for name in DROPPED.into_iter().filter(|name| found.contains_key(*name)) {
        client.batch_execute(&format!("DROP INDEX CONCURRENTLY {name}")).await?;
    }
    Ok(Built::All(built))
}

/// The indexes that are not there, or broken.
///
/// # Errors
/// When the statement fails.
pub async fn missing(client: &Client) -> Result<Vec<&'static str>, Error> {
    let found = valid(client).await?;
    Ok(BUILT.into_iter().map(|(name, _on)| name).filter(|name| found.get(*name) != Some(&true)).collect())
}

async fn valid(client: &tokio_postgres::Client) -> Result<HashMap<String, bool>, Error> {
    let rows = client.query(VALID, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("valid")?))).collect()
}
