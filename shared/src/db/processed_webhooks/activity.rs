//! How much each source has sent of late.

use deadpool_postgres::Client;
use serde::Serialize;
use tokio_postgres::Error;

/// Replays are a person's doing.
const ACTIVITY: &str = "
    SELECT source, count(*) AS webhooks, count(*) FILTER (WHERE status = 'skipped') AS skipped,
           coalesce(sum(duplicates), 0)::int8 AS duplicates
    FROM processed_webhooks
    WHERE first_processed_at >= now() - make_interval(hours => $1) AND replay_of IS NULL
    GROUP BY source ORDER BY source";

const PROCESSED: &str = "
    SELECT count(*) AS rows FROM processed_webhooks WHERE first_processed_at >= now() - make_interval(secs => $1)";

/// What was processed of one source in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceActivity {
    /// The source.
    pub source: String,
    /// Webhooks that were processed.
    pub webhooks: i64,
    /// How many of them no route took.
    pub skipped: i64,
    /// How often any of them arrived again.
    pub duplicates: i64,
}

/// What was processed within the last hours; reads every row of that time.
///
/// # Errors
/// When the statement fails.
pub async fn within(client: &Client, hours: i32) -> Result<Vec<SourceActivity>, Error> {
    let rows = client.query(&client.prepare_cached(ACTIVITY).await?, &[&hours]).await?;
    rows.iter()
        .map(|row| {
            Ok(SourceActivity {
                source: row.try_get("source")?,
                webhooks: row.try_get("webhooks")?,
                skipped: row.try_get("skipped")?,
                duplicates: row.try_get("duplicates")?,
            })
        })
        .collect()
}

/// How many webhooks were processed within the last seconds, replays included.
///
/// # Errors
/// When the statement fails.
pub async fn processed_within(client: &Client, seconds: f64) -> Result<i64, Error> {
    client.query_one(&client.prepare_cached(PROCESSED).await?, &[&seconds]).await?.try_get("rows")
}
