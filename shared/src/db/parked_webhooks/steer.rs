//! What a person does with parked webhooks: redrive them, or discard them.
//!
//! A redrive is three steps, each a statement that commits by itself: [`begin`] takes rows and hands their bodies
//! out, the caller publishes with a confirm, [`settle`] notes the confirm or [`release`] gives the row back. A row is
//! taken only in the generation in which it was seen, so of two people who take the same one, one gets it; settling
//! names the generation that `begin` gave it, so a late settle hits nothing newer.
//!
//! Invariant: a row stays open until the worker's claim resolves it, wherever this is cut off. Not promised: that a
//! webhook is published once. The claim runs it once.

use std::collections::HashSet;

use deadpool_postgres::Client;
use tokio_postgres::Error;

use super::rows::{ParkedRow, columns};
use crate::db::Content;
use crate::db::processed_webhooks::{self, WebhookKey};

/// Locks the rows that are still as they were seen. What was resolved is never taken, and what is locked is being
/// changed by somebody else: nobody is waited for, so a worker's long transaction stops no redrive of thousands.
macro_rules! locked {
    () => {
        "WITH locked AS (
            SELECT source AS locked_source, webhook_id AS locked_id FROM parked_webhooks
            JOIN unnest($1::text[], $2::text[], $3::int4[]) AS seen (source, webhook_id, generation)
                USING (source, webhook_id, generation)
            WHERE state <> 'resolved'
            ORDER BY source, webhook_id
            FOR UPDATE OF parked_webhooks SKIP LOCKED
        )"
    };
}

const BEGIN: &str = concat!(
    locked!(),
    " UPDATE parked_webhooks
      SET state = 'redriving', generation = generation + 1, redriven_at = NULL, changed_at = now()
      FROM locked WHERE source = locked_source AND webhook_id = locked_id
      RETURNING content_type, headers, body, trace_id, ",
    columns!()
);

const SETTLE: &str = concat!(
    locked!(),
    " UPDATE parked_webhooks
      SET redriven_at = now(), changed_at = now()
      FROM locked WHERE source = locked_source AND webhook_id = locked_id AND state = 'redriving'"
);

const RELEASE: &str = concat!(
    locked!(),
    " UPDATE parked_webhooks
      SET state = CASE WHEN discarded_because IS NULL THEN 'parked' ELSE 'discarded' END, changed_at = now()
      FROM locked WHERE source = locked_source AND webhook_id = locked_id AND state = 'redriving'"
);

const DISCARD: &str = concat!(
    locked!(),
    " UPDATE parked_webhooks
      SET state = 'discarded', generation = generation + 1, discarded_because = $4, redriven_at = NULL, changed_at = now()
      FROM locked WHERE source = locked_source AND webhook_id = locked_id
      RETURNING source, webhook_id"
);

/// A parked webhook that was taken to be redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The row as it is now, in the generation that settles it.
    pub row: ParkedRow,
    /// What to publish.
    pub content: Content,
}

/// Takes rows to be redriven, with their bodies. Rows that changed since they were seen are not among them.
///
/// # Errors
/// When the statement fails; then none is taken.
pub async fn begin(client: &Client, seen: &[&ParkedRow]) -> Result<Vec<Taken>, Error> {
    let (sources, ids, generations) = arrays(seen);
    let rows = client.query(&client.prepare_cached(BEGIN).await?, &[&sources, &ids, &generations]).await?;
    rows.iter().map(|row| Ok(Taken { row: ParkedRow::read(row)?, content: Content::read(row)? })).collect()
}

/// Notes that the broker has confirmed them; returns how many were still to be settled. The others are being claimed or
/// parked again, or were.
///
/// # Errors
/// When the statement fails; then they count as parked again after a minute.
pub async fn settle(client: &Client, begun: &[&ParkedRow]) -> Result<u64, Error> {
    let (sources, ids, generations) = arrays(begun);
    client.execute(&client.prepare_cached(SETTLE).await?, &[&sources, &ids, &generations]).await
}

/// Gives rows back that are not known to be published, to where they were: parked, or discarded.
///
/// # Errors
/// When the statement fails; then they count as parked again after a minute.
pub async fn release(client: &Client, begun: &[&ParkedRow]) -> Result<u64, Error> {
    let (sources, ids, generations) = arrays(begun);
    client.execute(&client.prepare_cached(RELEASE).await?, &[&sources, &ids, &generations]).await
}

/// Discards rows that are still as they were seen; returns which.
///
/// # Errors
/// When the statement fails; then none is discarded.
pub async fn discard(client: &Client, seen: &[&ParkedRow], because: &str) -> Result<HashSet<WebhookKey>, Error> {
    let (sources, ids, generations) = arrays(seen);
    let rows = client.query(&client.prepare_cached(DISCARD).await?, &[&sources, &ids, &generations, &because]).await?;
    rows.iter().map(processed_webhooks::key).collect()
}

/// Sources, ids and generations, side by side.
fn arrays<'a>(rows: &[&'a ParkedRow]) -> (Vec<&'a str>, Vec<&'a str>, Vec<i32>) {
    let sources = rows.iter().map(|row| row.key.source.as_str()).collect();
    let ids = rows.iter().map(|row| row.key.webhook_id.as_str()).collect();
    (sources, ids, rows.iter().map(|row| row.generation).collect())
}
