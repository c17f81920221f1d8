//! `parked_webhooks`: webhooks that were answered 2xx and could not be processed.
//!
//! They live here and not on a queue, where looking at them would raise their delivery count. A
//! parked webhook holds no claim: the transaction that claims it at last, by redrive or because
//! the provider sent it again, resolves its row. What a person does with them is in [`steer`], how
//! they are looked at in [`rows`].
//!
//! Invariant: no body that may still be wanted is overwritten by another. A body that comes under an id that was
//! processed, or is parked, with another one has a row of its own, under the id that it would run under: a replay's.

/// Whether a row waits for a person: it is parked, or its redrive was left unfinished. That is told a minute after it
/// began, unless the broker had confirmed it; then after a day, when the queue must have lost it.
macro_rules! waits {
    () => {
        "(state = 'parked' OR (state = 'redriving' AND changed_at < now() - CASE WHEN redriven_at IS NULL
             THEN interval '1 minute' ELSE interval '1 day' END))"
    };
}

pub mod backlog;
pub mod purge;
pub mod rows;
pub mod steer;

use std::fmt;

use deadpool_postgres::{Client, Transaction};
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, Type, accepts};
use tokio_postgres::{Error, GenericClient};

use crate::message::Message;

const PARK: &str = "
    INSERT INTO parked_webhooks
        (source, webhook_id, provider, topic, reason, detail, attempts, content_type, headers, body, body_sha256,
         received_at, replay_of, replay_run, replay_mode, trace_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (source, webhook_id) DO UPDATE
    SET provider = excluded.provider, topic = excluded.topic, reason = excluded.reason,
        detail = excluded.detail, state = 'parked', generation = parked_webhooks.generation + 1,
        attempts = excluded.attempts, content_type = excluded.content_type, headers = excluded.headers,
        body = excluded.body, body_sha256 = excluded.body_sha256, received_at = excluded.received_at,
        replay_of = excluded.replay_of, replay_run = excluded.replay_run, replay_mode = excluded.replay_mode,
        trace_id = excluded.trace_id,
        redriven_at = NULL, discarded_because = NULL, changed_at = now()";

const RESOLVE: &str = "
    UPDATE parked_webhooks AS parked
    SET state = 'resolved', changed_at = now()
    FROM (
        SELECT source, webhook_id FROM parked_webhooks
        JOIN unnest($1::text[], $2::text[], $3::bytea[]) AS claimed (source, webhook_id, only_body)
            USING (source, webhook_id)
        WHERE state <> 'resolved' AND (only_body IS NULL OR body_sha256 = only_body)
        ORDER BY source, webhook_id
        FOR UPDATE OF parked_webhooks
    ) AS found
    WHERE parked.source = found.source AND parked.webhook_id = found.webhook_id";

const HAS_OTHER_BODY: &str = "
    SELECT FROM parked_webhooks
    WHERE source = $1 AND webhook_id = $2 AND body_sha256 <> $3 AND state <> 'resolved'
      AND octet_length(body) > 0";

const COUNT_BY_REASON: &str = concat!(
    "SELECT reason, count(*) AS rows, min(parked_at) AS oldest
     FROM parked_webhooks WHERE state IN ('parked', 'redriving') AND ",
    waits!(),
    " GROUP BY reason ORDER BY reason"
);

const COUNT_BY_SOURCE: &str = concat!(
    "SELECT source, count(*) AS rows FROM parked_webhooks WHERE state IN ('parked', 'redriving') AND ",
    waits!(),
    " GROUP BY source ORDER BY source"
);

/// Why a webhook is parked: a closed list, as the column's CHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum ParkReason {
    /// A filter, mapping or template fails on its body.
    Plan,
    /// A SKU that `inventory` does not have.
    UnknownSku,
    /// The database refuses one of its values.
    Data,
    /// Every attempt of the retry ladder failed.
    RetriesExhausted,
    /// The broker gave it up after too many deliveries: it ends whoever handles it.
    DeadLettered,
    /// Its envelope cannot be read, or its body cannot be taken apart.
    Unreadable,
    /// It is older than the ids that are kept, so a duplicate could not be told.
    TooOld,
    /// An id that was processed came again with another body, and the source says to park that.
    ChangedBody,
}

impl ParkReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Plan,
        Self::UnknownSku,
        Self::Data,
        Self::RetriesExhausted,
        Self::DeadLettered,
        Self::Unreadable,
        Self::TooOld,
        Self::ChangedBody,
    ];

    /// As the column and the metrics say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::UnknownSku => "unknown-sku",
            Self::Data => "data",
            Self::RetriesExhausted => "retries-exhausted",
            Self::DeadLettered => "dead-lettered",
            Self::Unreadable => "unreadable",
            Self::TooOld => "too-old",
            Self::ChangedBody => "changed-body",
        }
    }
}

impl<'a> FromSql<'a> for ParkReason {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = <&str>::from_sql(kind, raw)?;
        let known = <Self as clap::ValueEnum>::value_variants().iter().find(|reason| reason.as_str() == text);
        known.copied().ok_or_else(|| format!("there is no reason {text:?} in this version").into())
    }

    accepts!(TEXT);
}

impl serde::Serialize for ParkReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Parked webhooks of one reason that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReasonCount {
    /// The reason.
    pub reason: String,
    /// How many.
    pub rows: i64,
    /// When the oldest was first parked.
    #[serde(with = "time::serde::rfc3339")]
    pub oldest: OffsetDateTime,
}

/// Parks a webhook, or parks it again with a new generation.
///
/// # Errors
/// When the statement fails.
pub async fn park(
    transaction: &Transaction<'_>,
    message: &Message,
    reason: ParkReason,
    detail: &str,
) -> Result<(), Error> {
    let headers: std::collections::BTreeMap<_, _> = message.headers.iter().map(|(name, value)| (name, value)).collect();
    let replay = message.replay();
    let statement = transaction.prepare_cached(PARK).await?;
    transaction
        .execute(
            &statement,
            &[
                &message.source.as_str(),
                &message.id,
                &message.provider.as_str(),
                &message.topic,
                &reason.as_str(),
                &detail,
                &i32::try_from(message.attempt).unwrap_or(i32::MAX),
                &message.content_type,
                &super::json(&headers),
                &message.body.as_ref(),
                &message.body_sha256.as_slice(),
                &message.received_at,
                &replay.map(|replay| &replay.of),
                &replay.map(|replay| replay.run.as_str()),
                &replay.map(|replay| replay.mode.as_str()),
                &message.trace_id(),
            ],
        )
        .await?;
    Ok(())
}

/// Whether a row that is not resolved keeps another body under the webhook's id. The id is to be held from before this is
/// asked until [`park`] is committed.
///
/// # Errors
/// When the statement fails.
pub async fn has_other_body(transaction: &Transaction<'_>, message: &Message) -> Result<bool, Error> {
    let statement = transaction.prepare_cached(HAS_OTHER_BODY).await?;
    let body_sha256 = message.body_sha256.as_slice();
    let row = transaction.query_opt(&statement, &[&message.source.as_str(), &message.id, &body_sha256]).await?;
    Ok(row.is_some())
}

/// A parked webhook that needs nobody any more.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    /// Its source.
    pub source: &'a str,
    /// Its id.
    pub webhook_id: &'a str,
    /// SHA-256 of the body that was settled, where a row with another body is to stay.
    pub only_body: Option<&'a [u8]>,
}

/// Marks parked webhooks as resolved that have been claimed after all; returns how many there were.
///
/// # Errors
/// When the statement fails.
pub async fn resolve(transaction: &Transaction<'_>, settled: &[Settled<'_>]) -> Result<u64, Error> {
    let sources: Vec<&str> = settled.iter().map(|settled| settled.source).collect();
    let ids: Vec<&str> = settled.iter().map(|settled| settled.webhook_id).collect();
    let bodies: Vec<Option<&[u8]>> = settled.iter().map(|settled| settled.only_body).collect();
    let statement = transaction.prepare_cached(RESOLVE).await?;
    transaction.execute(&statement, &[&sources, &ids, &bodies]).await
}

/// What waits for a person, by reason.
///
/// # Errors
/// When the statement fails.
pub async fn count_by_reason(client: &impl GenericClient) -> Result<Vec<ReasonCount>, Error> {
    let rows = client.query(COUNT_BY_REASON, &[]).await?;
    rows.iter()
        .map(|row| {
            let (reason, count) = (row.try_get("reason")?, row.try_get("rows")?);
            Ok(ReasonCount { reason, rows: count, oldest: row.try_get("oldest")? })
        })
        .collect()
}

/// How many wait for a person, by source.
///
/// # Errors
/// When the statement fails.
pub async fn count_by_source(client: &Client) -> Result<Vec<(String, i64)>, Error> {
    let rows = client.query(&client.prepare_cached(COUNT_BY_SOURCE).await?, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("source")?, row.try_get("rows")?))).collect()
}
