//! What is parked and waits for a person, for the metrics: asked every few seconds, and so bounded.
//!
//! At most [`MOST_COUNTED`] rows are counted: beyond them the numbers add up to "at least". The index
//! `parked_webhooks_waiting` holds all that is asked for.

use tokio_postgres::{Error, GenericClient};

/// Where counting ends, in rows.
pub const MOST_COUNTED: i64 = 100_000;

const READ: &str = concat!(
    "SELECT source, reason, count(*) AS rows
     FROM (SELECT source, reason FROM parked_webhooks WHERE state IN ('parked', 'redriving') AND ",
    waits!(),
    " LIMIT $1) AS waiting
     GROUP BY source, reason ORDER BY source, reason"
);

/// Parked webhooks of one source and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The configured sender; `unknown` where the message could not be read.
    pub source: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub rows: i64,
}

/// Reads it.
///
/// # Errors
/// When the statement fails.
pub async fn read(client: &impl GenericClient) -> Result<Vec<Waiting>, Error> {
    let rows = client.query(READ, &[&MOST_COUNTED]).await?;
    rows.iter()
        .map(|row| {
            let (source, reason) = (row.try_get("source")?, row.try_get("reason")?);
            Ok(Waiting { source, reason, rows: row.try_get("rows")? })
        })
        .collect()
}
