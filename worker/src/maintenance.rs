//! What any worker does beside the queue: take up expired leases, keep partitions ready, purge.
//!
//! Every step is safe from any number of workers at once: rows are skipped when another has them,
//! partitions are made and dropped under an advisory lock.

use std::time::Duration;

use deadpool_postgres::Pool;
use shared::config::RetentionConfig;
use shared::db::{outbox, processed_webhooks, webhook_failures, webhook_payloads};
use tokio_util::sync::CancellationToken;

/// How often expired leases are looked for.
const LEASE_INTERVAL: Duration = Duration::from_secs(1);
/// How often partitions are made and dropped, and old rows are deleted.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(3600);
/// Rows deleted in one statement, so that no purge holds locks for long.
const PURGE_ROWS: i64 = 5_000;

/// Why maintenance did not get through; tried again at its next turn.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaintenanceError {
    #[error("no connection to Postgres")]
    Connect(#[from] deadpool_postgres::PoolError),
    #[error("a statement failed")]
    Statement(#[from] tokio_postgres::Error),
}

/// Looks for expired leases until told to stop.
pub(crate) async fn watch_leases(pool: Pool, stop: CancellationToken) {
    while pause(LEASE_INTERVAL, &stop).await {
        if let Err(error) = take_up_expired(&pool).await {
            tracing::warn!(error = shared::error_chain::error_chain(&error), "cannot look for expired leases");
        }
    }
}

async fn take_up_expired(pool: &Pool) -> Result<(), MaintenanceError> {
    let client = pool.get().await?;
    for row in outbox::expire_leases(&**client).await? {
        tracing::error!(
            key = row.dedupe_key,
            state = row.state,
            "a worker ended while it was sending; the row is ambiguous and taken up as its effect's policy says"
        );
    }
    Ok(())
}

/// Keeps partitions ready and purges, at once and then every hour, until told to stop.
pub(crate) async fn keep_house(pool: Pool, retention: RetentionConfig, stop: CancellationToken) {
    loop {
        if let Err(error) = housekeeping(&pool, &retention).await {
            tracing::warn!(error = shared::error_chain::error_chain(&error), "housekeeping did not get through");
        }
        if !pause(HOUSEKEEPING_INTERVAL, &stop).await {
            return;
        }
    }
}

async fn housekeeping(pool: &Pool, retention: &RetentionConfig) -> Result<(), MaintenanceError> {
    let mut client = pool.get().await?;
    webhook_payloads::make_partitions(&mut client).await?;
    for name in webhook_payloads::drop_partitions(&client, days(retention.payload_days)).await? {
        tracing::info!(partition = name, "dropped a day of payloads");
    }
    purge_all(&mut client, retention).await
}

async fn purge_all(
    client: &mut deadpool_postgres::Client,
    retention: &RetentionConfig,
) -> Result<(), MaintenanceError> {
    while processed_webhooks::purge(&***client, days(retention.processed_days), PURGE_ROWS).await? > 0 {}
    while webhook_failures::purge(&***client, days(retention.failure_days), PURGE_ROWS).await? > 0 {}
    Ok(())
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Waits; `false` when told to stop.
async fn pause(interval: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        () = stop.cancelled() => false,
    }
}
