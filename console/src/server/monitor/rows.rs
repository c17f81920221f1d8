//! What Postgres has rows for: the outbox by state, what waits for whom, what is parked.

use deadpool_postgres::tokio_postgres::Error as DbError;
use deadpool_postgres::{Client, Pool};
use shared::db::outbox::counts::{self, BoundedCount, Waiting};
use shared::db::parked_webhooks::rows::{self as parked, BoundedReason};
use shared::db::paused_effects::{self, PausedEffect};
use shared::db::server::{self, Connections};
use shared::error_chain::error_chain;
use time::OffsetDateTime;

use super::{INTERVAL, Monitor};
use crate::output::COUNTED_TO;

/// How long Postgres may take for all of it.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What Postgres says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) outbox: Vec<BoundedCount>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) paused: Vec<PausedEffect>,
    pub(crate) parked: Vec<BoundedReason>,
    /// The last webhook of each source.
    pub(crate) latest: Vec<(String, OffsetDateTime)>,
    /// The server's connections, of anybody.
    pub(crate) connections: Connections,
}

/// Looks for ever.
pub(super) async fn watch(monitor: Monitor, pool: Pool) {
    loop {
        let rows = match tokio::time::timeout(TIMEOUT, ask(&pool)).await {
            Ok(rows) => rows,
            Err(_elapsed) => Err("Postgres does not answer in time".to_owned()),
        };
        monitor.known().set_rows(rows);
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask(pool: &Pool) -> Result<Rows, String> {
    let client = pool.get().await.map_err(|error| error_chain(&error))?;
    read(&client).await.map_err(|error| error_chain(&error))
}

/// Asks for all of it.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn read(client: &Client) -> Result<Rows, DbError> {
    Ok(Rows {
        outbox: counts::bounded(client, COUNTED_TO).await?,
        waiting: counts::waiting(client, COUNTED_TO).await?,
        paused: paused_effects::list(client).await?,
        parked: parked::bounded_counts(client, COUNTED_TO).await?,
        latest: shared::db::processed_webhooks::search::latest(client).await?,
        connections: server::connections(client).await?,
    })
}
