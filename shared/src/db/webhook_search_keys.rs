//! `webhook_search_keys`: what a person may know a webhook by.
//!
//! Written in the transaction of the claim, purged with the bodies. A value is kept in lower case without white space
//! around it, and is found whole only.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::{Error, GenericClient};

use super::processed_webhooks::{self, WebhookKey};
use crate::plan::SearchKey;

const INSERT: &str = "
    INSERT INTO webhook_search_keys (value, name, source, webhook_id)
    SELECT value, name, source, webhook_id
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS key (value, name, source, webhook_id)
    ORDER BY value, source, name, webhook_id
    ON CONFLICT DO NOTHING";

/// Newest days first; a value that thousands share is not what a person looks for.
const FIND: &str = "
    SELECT DISTINCT source, webhook_id FROM (
        SELECT source, webhook_id FROM webhook_search_keys
        WHERE value = $1 AND ($2::text IS NULL OR source = $2)
        ORDER BY stored_on DESC
        LIMIT 500) AS found";

const PURGE: &str = "
    DELETE FROM webhook_search_keys
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_search_keys
        WHERE stored_on < (now() AT TIME ZONE 'UTC')::date - $1::int4
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM webhook_search_keys WHERE stored_on < (now() AT TIME ZONE 'UTC')::date - $1::int4";

/// Stores the keys of claimed webhooks.
///
/// # Errors
/// When the statement fails.
pub async fn insert(transaction: &Transaction<'_>, keys: &[(&WebhookKey, &SearchKey)]) -> Result<(), Error> {
    let values: Vec<&str> = keys.iter().map(|(_, key)| key.value.as_str()).collect();
    let names: Vec<&str> = keys.iter().map(|(_, key)| key.name.as_str()).collect();
    let sources: Vec<&str> = keys.iter().map(|(webhook, _)| webhook.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|(webhook, _)| webhook.webhook_id.as_str()).collect();
    let statement = transaction.prepare_cached(INSERT).await?;
    transaction.execute(&statement, &[&values, &names, &sources, &ids]).await?;
    Ok(())
}

/// The webhooks that a value is a key of, at most 500.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, value: &str, source: Option<&str>) -> Result<Vec<WebhookKey>, Error> {
    let rows = client.query(&client.prepare_cached(FIND).await?, &[&value, &source]).await?;
    rows.iter().map(processed_webhooks::key).collect()
}

/// How many rows were stored more than `days` ago.
///
/// # Errors
/// When the statement fails.
pub async fn count_expired(client: &impl GenericClient, days: i32) -> Result<i64, Error> {
    client.query_one(COUNT_EXPIRED, &[&days]).await?.try_get("rows")
}

/// Deletes up to `limit` rows that were stored more than `days` ago; returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn purge(client: &impl GenericClient, days: i32, limit: i64) -> Result<u64, Error> {
    client.execute(PURGE, &[&days, &limit]).await
}
