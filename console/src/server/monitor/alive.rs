//! Whether Postgres answers at all: what readiness is told by.
//!
//! Asked on a connection of its own, and for nothing that takes long: many rows, locks and pages that wait are no reason to
//! take the console out of service.

use std::time::Duration;

use deadpool_postgres::Pool;

use super::{INTERVAL, Monitor};

/// How long an answer may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks for ever.
pub(super) async fn watch(monitor: Monitor, pool: Pool) {
    loop {
        let answered = tokio::time::timeout(TIMEOUT, answers(&pool)).await;
        monitor.known().is_alive = Some(answered == Ok(true));
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn answers(pool: &Pool) -> bool {
    match pool.get().await {
        Ok(client) => client.batch_execute("SELECT 1").await.is_ok(),
        Err(_away) => false,
    }
}
