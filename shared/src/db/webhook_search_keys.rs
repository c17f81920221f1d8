//! `webhook_search_keys`: what a person may know a webhook by.
//!
//! Written in the transaction of the claim, or before, beside the webhook's first failure; purged with the bodies, but
//! never while the webhook is parked. A value is kept in lower case without white space around it, and is found whole
//! only.

use deadpool_postgres::{Client, Transaction};
use time::Date;
use tokio_postgres::{Error, GenericClient};

use super::processed_webhooks::{self, WebhookKey};
use crate::plan::SearchKey;

macro_rules! insert {
    ($on_conflict:literal) => {
        concat!(
            "INSERT INTO webhook_search_keys (value, name, source, webhook_id)
             SELECT value, name, source, webhook_id
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS key (value, name, source, webhook_id)
             ORDER BY value, source, name, webhook_id
             ON CONFLICT ",
            $on_conflict
        )
    };
}

/// What it had when it failed it has for as long as its body is kept.
const INSERT_CLAIMED: &str = insert!(
    "(value, source, name, webhook_id) DO UPDATE SET stored_on = excluded.stored_on
     WHERE webhook_search_keys.stored_on < excluded.stored_on"
);
const INSERT_FAILED: &str = insert!("DO NOTHING");

/// The newest days first.
const FIND: &str = "
    SELECT source, webhook_id FROM webhook_search_keys
    WHERE value IN ($1, '#' || $1) AND ($2::text IS NULL OR source = $2) AND stored_on >= $3 AND stored_on <= $4
    GROUP BY source, webhook_id
    ORDER BY max(stored_on) DESC
    LIMIT $5";

const PURGE: &str = "
    DELETE FROM webhook_search_keys
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_search_keys
        WHERE stored_on < (now() AT TIME ZONE 'UTC')::date - $1::int4
          AND NOT EXISTS (SELECT FROM parked_webhooks AS parked
                          WHERE parked.source = webhook_search_keys.source
                            AND parked.webhook_id = webhook_search_keys.webhook_id
                            AND parked.state IN ('parked', 'redriving'))
        LIMIT $2
        FOR UPDATE SKIP LOCKED))";

const COUNT_EXPIRED: &str = "
    SELECT count(*) AS rows FROM webhook_search_keys
    WHERE stored_on < (now() AT TIME ZONE 'UTC')::date - $1::int4
      AND NOT EXISTS (SELECT FROM parked_webhooks AS parked
                      WHERE parked.source = webhook_search_keys.source
                        AND parked.webhook_id = webhook_search_keys.webhook_id
                        AND parked.state IN ('parked', 'redriving'))";

/// Stores the keys of claimed webhooks.
///
/// # Errors
/// When the statement fails.
pub async fn insert(transaction: &Transaction<'_>, keys: &[(&WebhookKey, &SearchKey)]) -> Result<(), Error> {
    write(transaction, INSERT_CLAIMED, keys).await
}

/// Stores the keys of a webhook that failed. What is stored already stays as it is.
///
/// # Errors
/// When the statement fails.
pub async fn insert_failed(
    transaction: &Transaction<'_>,
    webhook: &WebhookKey,
    keys: &[SearchKey],
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = keys.iter().map(|key| (webhook, key)).collect();
    write(transaction, INSERT_FAILED, &keys).await
}

async fn write(transaction: &Transaction<'_>, insert: &str, keys: &[(&WebhookKey, &SearchKey)]) -> Result<(), Error> {
    let values: Vec<&str> = keys.iter().map(|(_, key)| key.value.as_str()).collect();
    let names: Vec<&str> = keys.iter().map(|(_, key)| key.name.as_str()).collect();
    let sources: Vec<&str> = keys.iter().map(|(webhook, _)| webhook.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|(webhook, _)| webhook.webhook_id.as_str()).collect();
    let statement = transaction.prepare_cached(insert).await?;
    transaction.execute(&statement, &[&values, &names, &sources, &ids]).await?;
    Ok(())
}

/// The webhooks that a value is a key of, stored within these days, of the newest of them at most `limit`.
///
/// # Errors
/// When the statement fails.
pub async fn find(
    client: &Client,
    value: &str,
    source: Option<&str>,
    (first, last): (Date, Date),
    limit: i64,
) -> Result<Vec<WebhookKey>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    let rows = client.query(&statement, &[&value, &source, &first, &last, &limit]).await?;
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
