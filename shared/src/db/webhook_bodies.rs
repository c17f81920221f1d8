//! `webhook_bodies`: the claim by body, for sources whose provider does not sign the id.
//!
//! As with `processed_webhooks`, the row is the claim: a conflicting insert waits for the other transaction. Rows are
//! inserted in key order, after all claims of the transaction.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use tokio_postgres::{Error, GenericClient};

use super::processed_webhooks::WebhookKey;

const RECORD: &str = "
    INSERT INTO webhook_bodies (source, topic, body_sha256, webhook_id)
    SELECT DISTINCT ON (source, topic, body_sha256) source, topic, body_sha256, webhook_id
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
        WITH ORDINALITY AS body (source, topic, body_sha256, webhook_id, position)
    ORDER BY source, topic, body_sha256, position
    ON CONFLICT DO NOTHING";

const FIND_FIRST: &str = "
    SELECT wanted.source, wanted.webhook_id, known.webhook_id AS first_id
    FROM webhook_bodies AS known
    JOIN unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
        AS wanted (source, topic, body_sha256, webhook_id) USING (source, topic, body_sha256)
    WHERE known.webhook_id <> wanted.webhook_id";

const PURGE: &str = "
    DELETE FROM webhook_bodies
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_bodies
        WHERE first_seen_at < now() - make_interval(days => $1)
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM webhook_bodies WHERE first_seen_at < now() - make_interval(days => $1)";

/// A body that is being processed.
#[derive(Debug, Clone, Copy)]
pub struct BodyRow<'a> {
    /// The webhook.
    pub key: &'a WebhookKey,
    /// Its topic.
    pub topic: &'a str,
    /// SHA-256 of its body.
    pub body_sha256: &'a [u8; 32],
}

/// Records bodies; returns, for each webhook whose body was processed under another id, that id. Of several with one body
/// in `rows` the first counts. Waits for transactions that record any of them.
///
/// # Errors
/// When a statement fails.
pub async fn record(transaction: &Transaction<'_>, rows: &[BodyRow<'_>]) -> Result<HashMap<WebhookKey, String>, Error> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let sources: Vec<&str> = rows.iter().map(|row| row.key.source.as_str()).collect();
    let topics: Vec<&str> = rows.iter().map(|row| row.topic).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.body_sha256.as_slice()).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.key.webhook_id.as_str()).collect();
    let statement = transaction.prepare_cached(RECORD).await?;
    transaction.execute(&statement, &[&sources, &topics, &hashes, &ids]).await?;
    let statement = transaction.prepare_cached(FIND_FIRST).await?;
    let found = transaction.query(&statement, &[&sources, &topics, &hashes, &ids]).await?;
    let key = |row: &tokio_postgres::Row| -> Result<WebhookKey, Error> {
        Ok(WebhookKey { source: row.try_get("source")?, webhook_id: row.try_get("webhook_id")? })
    };
    found.iter().map(|row| Ok((key(row)?, row.try_get("first_id")?))).collect()
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
