//! `webhook_payloads`: bodies of processed webhooks, one partition a UTC day.
//!
//! A partition is made by CREATE … LIKE and ATTACH, because CREATE … PARTITION OF waits for open
//! inserts and makes others wait; an old one goes by DETACH … CONCURRENTLY, then DROP. There is no
//! default partition: it would have to be scanned by every ATTACH and forbids the concurrent DETACH.

use std::collections::HashMap;

use deadpool_postgres::{Client, Transaction};
use time::Date;
use time::macros::format_description;
use tokio_postgres::Error;

use super::Content;
use super::processed_webhooks::{self, WebhookKey};
use crate::message::Message;

/// Days kept ready after today, so that a worker that cannot make partitions has a week.
pub const DAYS_AHEAD: i32 = 7;
/// The advisory lock of whoever makes or drops partitions ("payl").
const LOCK: i64 = 0x7061_796c;

const INSERT: &str = "
    INSERT INTO webhook_payloads (source, webhook_id, content_type, headers, body, trace_id)
    SELECT source, webhook_id, content_type, headers::jsonb, body, trace_id
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[])
        AS payload (source, webhook_id, content_type, headers, body, trace_id)
    ON CONFLICT DO NOTHING";

const SIZES: &str = "
    SELECT source, webhook_id, octet_length(body)::int8 AS bytes
    FROM webhook_payloads
    JOIN unnest($1::date[], $2::text[], $3::text[]) AS wanted (stored_on, source, webhook_id)
        USING (stored_on, source, webhook_id)";

const READ: &str = "
    SELECT content_type, headers, body, trace_id FROM webhook_payloads
    WHERE stored_on = $1 AND source = $2 AND webhook_id = $3";

/// Byte by byte: no index helps.
const CONTAINING: &str = "
    SELECT source, webhook_id
    FROM webhook_payloads
    JOIN unnest($1::date[], $2::text[], $3::text[]) AS wanted (stored_on, source, webhook_id)
        USING (stored_on, source, webhook_id)
    WHERE position($4::bytea IN body) > 0";

const MISSING_DAYS: &str = "
    SELECT day::date AS day
    FROM generate_series(
        (now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + $1::int4, interval '1 day') AS day
    WHERE to_regclass(format('%I.webhook_payloads_%s', current_schema(), to_char(day, 'YYYYMMDD'))) IS NULL
    ORDER BY day";

const PARTITIONS_BEFORE: &str = "
    SELECT child.relname AS name, link.inhdetachpending AS pending
    FROM pg_inherits AS link
    JOIN pg_class AS child ON child.oid = link.inhrelid
    WHERE link.inhparent = 'webhook_payloads'::regclass
      AND child.relname < 'webhook_payloads_' || to_char((now() AT TIME ZONE 'UTC')::date - $1::int4, 'YYYYMMDD')
    ORDER BY child.relname";

const DETACHED_BEFORE: &str = "
    SELECT child.relname AS name
    FROM pg_class AS child
    WHERE child.relkind = 'r' AND NOT child.relispartition
      AND child.relnamespace = current_schema()::regnamespace
      AND child.relname ~ '^webhook_payloads_[0-9]{8}$'
      AND child.relname < 'webhook_payloads_' || to_char((now() AT TIME ZONE 'UTC')::date - $1::int4, 'YYYYMMDD')
    ORDER BY child.relname";

/// Stores the bodies of claimed webhooks under today's date.
///
/// # Errors
/// When the statement fails; without today's partition with `23514` and no constraint's name.
pub async fn insert(transaction: &Transaction<'_>, rows: &[(&WebhookKey, &Message)]) -> Result<(), Error> {
    let sources: Vec<&str> = rows.iter().map(|(key, _)| key.source.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|(key, _)| key.webhook_id.as_str()).collect();
    let types: Vec<Option<&str>> = rows.iter().map(|(_, message)| message.content_type.as_deref()).collect();
    let headers: Vec<String> = rows.iter().map(|(_, message)| headers_json(message)).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|(_, message)| message.body.as_ref()).collect();
    let traces: Vec<Option<&str>> = rows.iter().map(|(_, message)| message.trace_id()).collect();
    let statement = transaction.prepare_cached(INSERT).await?;
    transaction.execute(&statement, &[&sources, &ids, &types, &headers, &bodies, &traces]).await?;
    Ok(())
}

/// How many bytes the bodies have that were stored on these days; those that are purged are missing.
///
/// # Errors
/// When the statement fails.
pub async fn sizes(client: &Client, stored: &[(Date, &WebhookKey)]) -> Result<HashMap<WebhookKey, i64>, Error> {
    let days: Vec<Date> = stored.iter().map(|(day, _)| *day).collect();
    let sources: Vec<&str> = stored.iter().map(|(_, key)| key.source.as_str()).collect();
    let ids: Vec<&str> = stored.iter().map(|(_, key)| key.webhook_id.as_str()).collect();
    let rows = client.query(&client.prepare_cached(SIZES).await?, &[&days, &sources, &ids]).await?;
    rows.iter().map(|row| Ok((processed_webhooks::key(row)?, row.try_get("bytes")?))).collect()
}

/// What a provider sent, by the day it was stored; `None` when it is purged.
///
/// # Errors
/// When the statement fails.
pub async fn read(client: &Client, day: Date, key: &WebhookKey) -> Result<Option<Content>, Error> {
    let row = client.query_opt(&client.prepare_cached(READ).await?, &[&day, &key.source, &key.webhook_id]).await?;
    row.as_ref().map(Content::read).transpose()
}

/// Those of these webhooks, with the days they were stored on, whose body contains a text. Reads every one of the bodies.
///
/// # Errors
/// When the statement fails.
pub async fn containing(client: &Client, stored: &[(Date, WebhookKey)], text: &str) -> Result<Vec<WebhookKey>, Error> {
    let days: Vec<Date> = stored.iter().map(|(day, _)| *day).collect();
    let sources: Vec<&str> = stored.iter().map(|(_, key)| key.source.as_str()).collect();
    let ids: Vec<&str> = stored.iter().map(|(_, key)| key.webhook_id.as_str()).collect();
    let statement = client.prepare_cached(CONTAINING).await?;
    let rows = client.query(&statement, &[&days, &sources, &ids, &text.as_bytes()]).await?;
    rows.iter().map(processed_webhooks::key).collect()
}

fn headers_json(message: &Message) -> String {
    let headers: std::collections::BTreeMap<_, _> = message.headers.iter().map(|(name, value)| (name, value)).collect();
    super::json(&headers)
}

/// Makes the partitions of today and the next [`DAYS_AHEAD`] days; returns how many were missing.
/// Safe from any number of workers at once.
///
/// # Errors
/// When a statement fails.
pub async fn make_partitions(client: &mut Client) -> Result<usize, Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let missing = transaction.query(MISSING_DAYS, &[&DAYS_AHEAD]).await?;
    for row in &missing {
        let day: Date = row.try_get("day")?;
        transaction.batch_execute(&create_partition(day)).await?;
    }
    transaction.commit().await?;
    Ok(missing.len())
}

/// The partitions of days older than `days`, whether they are still attached or not.
///
/// # Errors
/// When a statement fails.
pub async fn partitions_before(client: &Client, days: i32) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for statement in [PARTITIONS_BEFORE, DETACHED_BEFORE] {
        for row in client.query(statement, &[&days]).await? {
            names.push(row.try_get("name")?);
        }
    }
    names.sort();
    Ok(names)
}

/// The days, of today and the next [`DAYS_AHEAD`], that have no partition.
///
/// # Errors
/// When the statement fails.
pub async fn missing_days(client: &Client) -> Result<Vec<Date>, Error> {
    client.query(MISSING_DAYS, &[&DAYS_AHEAD]).await?.iter().map(|row| row.try_get("day")).collect()
}

/// The statements for one day. Dates are ours, so nothing needs quoting.
fn create_partition(day: Date) -> String {
    let compact = format_description!("[year][month][day]");
    let name = day.format(&compact).unwrap_or_default();
    let next = day.next_day().unwrap_or(day);
    format!(
        "CREATE TABLE webhook_payloads_{name} (LIKE webhook_payloads INCLUDING ALL);
         ALTER TABLE webhook_payloads ATTACH PARTITION webhook_payloads_{name} FOR VALUES FROM ('{day}') TO ('{next}')"
    )
}

/// Drops the partitions of days older than `days`; returns their names. One worker at a time does
/// it; the others return at once.
///
/// # Errors
/// When a statement fails; a partition that was detached and not dropped is dropped by the next run.
pub async fn drop_partitions(client: &Client, days: i32) -> Result<Vec<String>, Error> {
    let locked: bool =
        client.query_one("SELECT pg_try_advisory_lock($1) AS locked", &[&LOCK]).await?.try_get("locked")?;
    if !locked {
        return Ok(Vec::new());
    }
    let dropped = drop_old(client, days).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    dropped
}

async fn drop_old(client: &Client, days: i32) -> Result<Vec<String>, Error> {
    for row in client.query(PARTITIONS_BEFORE, &[&days]).await? {
        let name: String = row.try_get("name")?;
        let how = if row.try_get("pending")? { "FINALIZE" } else { "CONCURRENTLY" };
        client.batch_execute(&format!("ALTER TABLE webhook_payloads DETACH PARTITION {name} {how}")).await?;
    }
    let mut dropped = Vec::new();
    for row in client.query(DETACHED_BEFORE, &[&days]).await? {
        let name: String = row.try_get("name")?;
        client.batch_execute(&format!("DROP TABLE {name}")).await?;
        dropped.push(name);
    }
    Ok(dropped)
}
