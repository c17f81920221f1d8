//! `processed_webhooks`: the claim.
//!
//! The row is inserted in the transaction that applies the effects. The session is the lock: a
//! conflicting insert waits for the other transaction, is skipped after its commit and goes
//! through after its rollback. Rows are inserted in key order, so that two batches with the same
//! webhooks cannot wait for each other in a circle. A replay is claimed under an id of its own; what can be
//! replayed is looked up in [`replays`], and what a person looks for in [`search`].

pub mod activity;
pub mod replays;
pub mod search;

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, Type, accepts};
use tokio_postgres::{Error, GenericClient};

use crate::message::Replay;
use crate::plan::Skip;

const CLAIM: &str = "
    INSERT INTO processed_webhooks
        (source, webhook_id, topic, body_sha256, status, received_at, attempt, skips, replay_of, replay_run)
    SELECT source, webhook_id, topic, body_sha256, status, received_at, attempt, skips::jsonb, replay_of, replay_run
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[], $7::int4[], $8::text[],
                $9::text[], $10::text[])
        AS webhook (source, webhook_id, topic, body_sha256, status, received_at, attempt, skips, replay_of, replay_run)
    ORDER BY source, webhook_id
    ON CONFLICT DO NOTHING
    RETURNING source, webhook_id";

/// An id that looks like a replay's must have a run, whatever run it is: the row is never committed.
const HOLD: &str = "
    INSERT INTO processed_webhooks
        (source, webhook_id, topic, body_sha256, status, received_at, replay_of, replay_run)
    SELECT $1::text, $2::text, '', sha256(''), 'skipped', now(), held.replay, held.replay
    FROM (SELECT CASE WHEN $2::text LIKE '↻%' THEN $2::text END AS replay) AS held
    ON CONFLICT DO NOTHING";

const RELEASE: &str = "DELETE FROM processed_webhooks WHERE source = $1 AND webhook_id = $2";

const FIND: &str = "
    SELECT source, webhook_id, body_sha256
    FROM processed_webhooks
    JOIN unnest($1::text[], $2::text[]) AS wanted (source, webhook_id) USING (source, webhook_id)";

const COUNT_DUPLICATES: &str = "
    WITH seen AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::int4[], $4::int4[])
            AS seen (source, webhook_id, duplicates, changed_bodies)
    ), locked AS (
        SELECT processed.source, processed.webhook_id
        FROM processed_webhooks AS processed JOIN seen USING (source, webhook_id)
        ORDER BY processed.source, processed.webhook_id
        FOR UPDATE OF processed
    )
    UPDATE processed_webhooks AS processed
    SET duplicates = processed.duplicates + seen.duplicates,
        changed_bodies = processed.changed_bodies + seen.changed_bodies,
        last_duplicate_at = now()
    FROM seen JOIN locked USING (source, webhook_id)
    WHERE processed.source = seen.source AND processed.webhook_id = seen.webhook_id";

const SKIP: &str = "
    UPDATE processed_webhooks AS processed
    SET status = 'skipped', skips = skipped.skips::jsonb
    FROM unnest($1::text[], $2::text[], $3::text[]) AS skipped (source, webhook_id, skips)
    WHERE processed.source = skipped.source AND processed.webhook_id = skipped.webhook_id";

const PURGE: &str = "
    DELETE FROM processed_webhooks
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM processed_webhooks AS processed
        WHERE first_processed_at < now() - make_interval(days => $1)
          AND NOT EXISTS (
            SELECT FROM parked_webhooks AS parked
            WHERE parked.source = processed.source AND parked.webhook_id = processed.webhook_id
              AND parked.state <> 'resolved')
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM processed_webhooks AS processed
    WHERE first_processed_at < now() - make_interval(days => $1)
      AND NOT EXISTS (
        SELECT FROM parked_webhooks AS parked
        WHERE parked.source = processed.source AND parked.webhook_id = processed.webhook_id
          AND parked.state <> 'resolved')";

/// What a webhook is known by: unique among all that were processed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
pub struct WebhookKey {
    /// The configured sender.
    pub source: String,
    /// The provider's id.
    pub webhook_id: String,
}

/// What happened to a webhook that is being claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Status {
    /// At least one route took it.
    Completed,
    /// No route took it.
    Skipped,
}

impl Status {
    /// As the column says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
        }
    }
}

impl<'a> FromSql<'a> for Status {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = <&str>::from_sql(kind, raw)?;
        let known = [Self::Completed, Self::Skipped].into_iter().find(|status| status.as_str() == text);
        known.ok_or_else(|| format!("there is no status {text:?} in this version").into())
    }

    accepts!(TEXT);
}

/// What holding a key found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nobody has processed the webhook, and until this transaction ends nobody will.
    Held,
    /// It was processed before.
    Processed,
}

/// A webhook to claim.
#[derive(Debug)]
pub struct ClaimRow<'a> {
    /// What it is known by.
    pub key: &'a WebhookKey,
    /// The topic, as the provider names it.
    pub topic: &'a str,
    /// SHA-256 of its body.
    pub body_sha256: &'a [u8; 32],
    /// Whether a route took it.
    pub status: Status,
    /// When ingest had received it.
    pub received_at: OffsetDateTime,
    /// How many attempts had failed before.
    pub attempt: i32,
    /// What its effects left out.
    pub skips: &'a [Skip],
    /// What it was made from, if it is a replay.
    pub replay: Option<&'a Replay>,
}

/// Duplicates seen of one processed webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateCount {
    /// Which webhook.
    pub key: WebhookKey,
    /// How many more.
    pub duplicates: i32,
    /// How many of them had another body.
    pub changed_bodies: i32,
}

/// Claims webhooks; the keys that come back are ours, the others were processed before.
/// Waits for transactions that hold a claim on any of them.
///
/// # Errors
/// When the statement fails.
pub async fn claim(transaction: &Transaction<'_>, rows: &[ClaimRow<'_>]) -> Result<HashSet<WebhookKey>, Error> {
    let sources: Vec<&str> = rows.iter().map(|row| row.key.source.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.key.webhook_id.as_str()).collect();
    let topics: Vec<&str> = rows.iter().map(|row| row.topic).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.body_sha256.as_slice()).collect();
    let statuses: Vec<&str> = rows.iter().map(|row| row.status.as_str()).collect();
    let received: Vec<OffsetDateTime> = rows.iter().map(|row| row.received_at).collect();
    let attempts: Vec<i32> = rows.iter().map(|row| row.attempt).collect();
    let skips: Vec<String> = rows.iter().map(|row| super::json(&row.skips)).collect();
    let firsts: Vec<Option<&str>> = rows.iter().map(|row| row.replay.map(|replay| replay.of.as_str())).collect();
    let runs: Vec<Option<&str>> = rows.iter().map(|row| row.replay.map(|replay| replay.run.as_str())).collect();
    let statement = transaction.prepare_cached(CLAIM).await?;
    let claimed = transaction
        .query(&statement, &[&sources, &ids, &topics, &hashes, &statuses, &received, &attempts, &skips, &firsts, &runs])
        .await?;
    claimed.iter().map(key).collect()
}

/// Holds the key of a webhook that is not going to be processed now, so that nobody claims it
/// meanwhile. Waits for a transaction that claims it. The row must not be committed: [`release`] it.
///
/// # Errors
/// When the statement fails.
pub async fn hold(transaction: &Transaction<'_>, key: &WebhookKey) -> Result<Hold, Error> {
    let statement = transaction.prepare_cached(HOLD).await?;
    let held = transaction.execute(&statement, &[&key.source, &key.webhook_id]).await?;
    Ok(if held == 1 { Hold::Held } else { Hold::Processed })
}

/// Takes back what [`hold`] has inserted; the last thing before COMMIT, after which the key is free.
///
/// # Errors
/// When the statement fails.
pub async fn release(transaction: &Transaction<'_>, key: &WebhookKey) -> Result<(), Error> {
    let statement = transaction.prepare_cached(RELEASE).await?;
    transaction.execute(&statement, &[&key.source, &key.webhook_id]).await?;
    Ok(())
}

/// Writes down that webhooks were claimed, and then left out whole. They must have been claimed in this transaction.
///
/// # Errors
/// When the statement fails.
pub async fn skip(transaction: &Transaction<'_>, skipped: &[(&WebhookKey, Skip)]) -> Result<(), Error> {
    let sources: Vec<&str> = skipped.iter().map(|(key, _)| key.source.as_str()).collect();
    let ids: Vec<&str> = skipped.iter().map(|(key, _)| key.webhook_id.as_str()).collect();
    let skips: Vec<String> = skipped.iter().map(|(_, skip)| super::json(&[skip])).collect();
    let statement = transaction.prepare_cached(SKIP).await?;
    transaction.execute(&statement, &[&sources, &ids, &skips]).await?;
    Ok(())
}

/// The body hashes under which webhooks were processed; those never processed are missing.
///
/// # Errors
/// When the statement fails.
pub async fn find_hashes(
    client: &Transaction<'_>,
    keys: &[&WebhookKey],
) -> Result<HashMap<WebhookKey, Vec<u8>>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.webhook_id.as_str()).collect();
    let statement = client.prepare_cached(FIND).await?;
    let rows = client.query(&statement, &[&sources, &ids]).await?;
    rows.iter().map(|row| Ok((key(row)?, row.try_get("body_sha256")?))).collect()
}

/// Counts duplicates, in key order.
///
/// # Errors
/// When the statement fails.
pub async fn count_duplicates(transaction: &Transaction<'_>, counts: &[DuplicateCount]) -> Result<(), Error> {
    let sources: Vec<&str> = counts.iter().map(|count| count.key.source.as_str()).collect();
    let ids: Vec<&str> = counts.iter().map(|count| count.key.webhook_id.as_str()).collect();
    let duplicates: Vec<i32> = counts.iter().map(|count| count.duplicates).collect();
    let changed: Vec<i32> = counts.iter().map(|count| count.changed_bodies).collect();
    let statement = transaction.prepare_cached(COUNT_DUPLICATES).await?;
    transaction.execute(&statement, &[&sources, &ids, &duplicates, &changed]).await?;
    Ok(())
}

/// How many rows are older than `days` and may be deleted.
///
/// # Errors
/// When the statement fails.
pub async fn count_expired(client: &impl GenericClient, days: i32) -> Result<i64, Error> {
    client.query_one(COUNT_EXPIRED, &[&days]).await?.try_get("rows")
}

/// Deletes up to `limit` rows older than `days`; returns how many. A claim stays for as long as its id is parked,
/// too: whoever redrives it then is told that it is a duplicate.
///
/// # Errors
/// When the statement fails.
pub async fn purge(client: &impl GenericClient, days: i32, limit: i64) -> Result<u64, Error> {
    client.execute(PURGE, &[&days, &limit]).await
}

pub(super) fn key(row: &tokio_postgres::Row) -> Result<WebhookKey, Error> {
    Ok(WebhookKey { source: row.try_get("source")?, webhook_id: row.try_get("webhook_id")? })
}
