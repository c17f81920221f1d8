//! What is on the retry ladder: webhooks whose last attempt failed, and which were neither processed nor parked since. One
//! that a person has discarded is on it again when it fails after that.
//!
//! No column says so, since whoever processes a webhook would have to clear it. So failures are walked, the last first, and
//! those that do not stand any more are passed over: a page reads as many as it may, and says how far it came.
//!
//! Failures that are older than ids of processed webhooks are kept do not stand: what the webhook came to may be forgotten,
//! and a worker parks what is on its way for so long.
//!
//! Not promised: that the queue has it still. What a queue lost stays here until then.

use deadpool_postgres::Client;
use time::OffsetDateTime;
use tokio_postgres::{Error, Row};

use crate::db::processed_webhooks::search::Stretch;
use crate::db::processed_webhooks::{self, WebhookKey};

/// Whether a failure is all that became of a webhook.
macro_rules! nothing_since {
    ($failure:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM processed_webhooks AS processed
                         WHERE processed.source = ",
            $failure,
            ".source AND processed.webhook_id = ",
            $failure,
            ".webhook_id)
             AND NOT EXISTS (SELECT FROM parked_webhooks AS parked
                             WHERE parked.source = ",
            $failure,
            ".source AND parked.webhook_id = ",
            $failure,
            ".webhook_id
                               AND (parked.state IN ('parked', 'redriving') OR parked.changed_at >= ",
            $failure,
            ".occurred_at))"
        )
    };
}

/// Rows are chosen by time alone, so that a page costs the same whatever it looks for.
const NEWEST: &str = concat!(
    "
    WITH seen AS MATERIALIZED (
        SELECT id, source, webhook_id, attempt, occurred_at, topic, received_at
        FROM webhook_failures
        WHERE outcome = 'retry' AND occurred_at >= $2 AND occurred_at <= $3
          AND (occurred_at, source, webhook_id) < ($3, $4, $5) AND occurred_at >= now() - make_interval(days => $7)
        ORDER BY occurred_at DESC, source DESC, webhook_id DESC
        LIMIT $6)
    SELECT source, webhook_id, attempt, occurred_at, topic, received_at,
           (($1::text IS NULL OR source = $1)
            AND NOT EXISTS (SELECT FROM webhook_failures AS later
                            WHERE later.source = seen.source AND later.webhook_id = seen.webhook_id AND later.id > seen.id)
            AND ",
    nothing_since!("seen"),
    ") AS stands
    FROM seen
    ORDER BY occurred_at DESC, source DESC, webhook_id DESC"
);

const LAST_OF: &str = concat!(
    "
    SELECT last.source, last.webhook_id, last.attempt, last.occurred_at, last.topic, last.received_at
    FROM unnest($1::text[], $2::text[]) AS wanted (source, webhook_id)
    CROSS JOIN LATERAL (
        SELECT source, webhook_id, attempt, outcome, occurred_at, topic, received_at FROM webhook_failures AS one
        WHERE one.source = wanted.source AND one.webhook_id = wanted.webhook_id
        ORDER BY id DESC LIMIT 1) AS last
    WHERE last.outcome = 'retry' AND last.occurred_at >= now() - make_interval(days => $3) AND ",
    nothing_since!("last")
);

/// A webhook that has failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryingRow {
    /// What it is known by.
    pub key: WebhookKey,
    /// How many attempts have failed.
    pub attempts: i32,
    /// When the last of them did.
    pub last_failed_at: OffsetDateTime,
    /// Its topic; `None` when an older worker wrote the failure down.
    pub topic: Option<String>,
    /// When ingest had received it; `None` as above.
    pub received_at: Option<OffsetDateTime>,
}

/// A stretch of the ladder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rungs {
    /// What is on it, the last to fail first.
    pub rows: Vec<RetryingRow>,
    /// The last failure that was looked at, where the next stretch begins; `None` when nothing lies behind this one.
    pub looked_back_to: Option<(OffsetDateTime, WebhookKey)>,
}

/// What lies behind a webhook on the ladder, as far as `limit` failures tell. `days` is for how long ids of processed
/// webhooks are kept.
///
/// # Errors
/// When the statement fails.
pub async fn newest(client: &Client, days: i32, stretch: &Stretch, limit: i64) -> Result<Rungs, Error> {
    let Stretch { source, since, before, before_key } = stretch;
    let statement = client.prepare_cached(NEWEST).await?;
    let (before_source, before_id) = (&before_key.source, &before_key.webhook_id);
    let seen = client.query(&statement, &[source, since, before, before_source, before_id, &limit, &days]).await?;
    let mut rungs = Rungs::default();
    for row in &seen {
        if row.try_get("stands")? {
            rungs.rows.push(RetryingRow::read(row)?);
        }
    }
    if let Some(last) = seen.last().filter(|_| i64::try_from(seen.len()).is_ok_and(|seen| seen >= limit)) {
        rungs.looked_back_to = Some((last.try_get("occurred_at")?, processed_webhooks::key(last)?));
    }
    Ok(rungs)
}

/// Those of these webhooks that are on the ladder. `days` as in [`newest`].
///
/// # Errors
/// When the statement fails.
pub async fn last_of(client: &Client, days: i32, keys: &[WebhookKey]) -> Result<Vec<RetryingRow>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.webhook_id.as_str()).collect();
    let rows = client.query(&client.prepare_cached(LAST_OF).await?, &[&sources, &ids, &days]).await?;
    rows.iter().map(RetryingRow::read).collect()
}

impl RetryingRow {
    fn read(row: &Row) -> Result<Self, Error> {
        let failed_before: i32 = row.try_get("attempt")?;
        Ok(Self {
            key: processed_webhooks::key(row)?,
            attempts: failed_before.saturating_add(1),
            last_failed_at: row.try_get("occurred_at")?,
            topic: row.try_get("topic")?,
            received_at: row.try_get("received_at")?,
        })
    }
}
