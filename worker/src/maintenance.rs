//! What any worker does beside the queue: take up expired leases, keep partitions ready, build indexes, purge.
//!
//! Every step is safe from any number of workers at once: rows are skipped when another has them,
//! partitions are made and dropped under an advisory lock.

use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool};
use shared::config::{DispatchConfig, RetentionConfig};
use shared::db::indexes::{self, Built};
use shared::db::migrate::MigrateError;
use shared::db::retention::{self, Purge, days};
use shared::db::{self, outbox, webhook_payloads};
use shared::error_chain::error_chain;
use tokio_util::sync::CancellationToken;

/// How often expired leases are looked for.
const LEASE_INTERVAL: Duration = Duration::from_secs(1);
/// How long looking for them may take before its connection is given up.
const LEASES_WITHIN: Duration = Duration::from_secs(30);
/// How long whoever holds a lease that ran out may still settle it, from when that was first seen, and after the database
/// was away: its word is better than a guess.
const SETTLE_FIRST: Duration = Duration::from_secs(15);
/// When building indexes is tried again, also while another session builds: each try is a connection.
const INDEX_INTERVAL: Duration = Duration::from_secs(60);
/// The same for who waits for nothing else.
const MIGRATION_INTERVAL: Duration = Duration::from_secs(1);
/// How often partitions are made and dropped, and old rows are deleted.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(3600);

/// Why maintenance did not get through; tried again at its next turn.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaintenanceError {
    #[error("no connection to Postgres")]
    Connect(#[from] deadpool_postgres::PoolError),
    #[error("a statement failed")]
    Statement(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Silent(#[from] db::Silent),
}

/// Looks for expired leases until told to stop.
pub(crate) async fn watch_leases(pool: Pool, dispatch: DispatchConfig, stop: CancellationToken) {
    let mut not_before = Instant::now();
    while pause(LEASE_INTERVAL, &stop).await {
        let outcome = match Instant::now() < not_before {
            true => ping(&pool).await,
            false => take_up_expired(&pool, &dispatch).await,
        };
        if let Err(error) = outcome {
            not_before = Instant::now() + SETTLE_FIRST;
            tracing::warn!(error = error_chain(&error), "cannot look for expired leases");
        }
    }
}

async fn ping(pool: &Pool) -> Result<(), MaintenanceError> {
    Ok(db::answer_within(LEASES_WITHIN, pool.get().await?, async |client| client.batch_execute("").await).await??)
}

async fn take_up_expired(pool: &Pool, dispatch: &DispatchConfig) -> Result<(), MaintenanceError> {
    let delay = Duration::from_millis(dispatch.retry_min_ms);
    let expire =
        async |client: &mut Client| outbox::expire_leases(&***client, dispatch.max_attempts, SETTLE_FIRST, delay).await;
    for row in db::answer_within(LEASES_WITHIN, pool.get().await?, expire).await?? {
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
        housekeeping(&pool, &retention).await;
        if !pause(HOUSEKEEPING_INTERVAL, &stop).await {
            return;
        }
    }
}

/// Builds indexes that are missing, and tries again until all are there or it is told to stop.
pub(crate) async fn keep_indexes(pool: Pool, stop: CancellationToken) {
    loop {
        let built = tokio::select! {
            built = indexes::build(&pool) => built,
            () = stop.cancelled() => return,
        };
        match built {
            Ok(Built::All(built)) => {
                tell(&built);
                // A task of the worker ends when the worker does.
                return stop.cancelled().await;
            }
            Ok(Built::ByAnother) => {}
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "cannot build indexes; it is slow until they are there");
            }
        }
        if !pause(INDEX_INTERVAL, &stop).await {
            return;
        }
    }
}

/// Builds indexes that are missing, or waits until another has.
///
/// # Errors
/// When the database is away or a statement fails.
pub(crate) async fn build_indexes(pool: &Pool) -> Result<(), MigrateError> {
    loop {
        if let Built::All(built) = indexes::build(pool).await? {
            tell(&built);
            return Ok(());
        }
        tokio::time::sleep(MIGRATION_INTERVAL).await;
    }
}

fn tell(built: &[&'static str]) {
    for index in built {
        tracing::info!(index, "built an index");
    }
}

/// Each step by itself: one that is held up by a long reader does not hold up the others.
async fn housekeeping(pool: &Pool, retention: &RetentionConfig) {
    report("make partitions", make_partitions(pool).await);
    report("drop old partitions", drop_partitions(pool, retention).await);
    for what in Purge::ALL {
        report(what.step(), purge(pool, what, retention).await);
    }
}

fn report(step: &'static str, outcome: Result<(), MaintenanceError>) {
    if let Err(error) = outcome {
        tracing::warn!(step, error = error_chain(&error), "housekeeping did not get through");
    }
}

async fn make_partitions(pool: &Pool) -> Result<(), MaintenanceError> {
    let make = async |client: &mut Client| webhook_payloads::make_partitions(client).await;
    db::answer_within(HOUSEKEEPING_INTERVAL, pool.get().await?, make).await??;
    Ok(())
}

async fn drop_partitions(pool: &Pool, retention: &RetentionConfig) -> Result<(), MaintenanceError> {
    let drop =
        async |client: &mut Client| webhook_payloads::drop_partitions(client, days(retention.payload_days)).await;
    for name in db::answer_within(HOUSEKEEPING_INTERVAL, pool.get().await?, drop).await?? {
        tracing::info!(partition = name, "dropped a day of payloads");
    }
    Ok(())
}

async fn purge(pool: &Pool, what: Purge, config: &RetentionConfig) -> Result<(), MaintenanceError> {
    let purge = async |client: &mut Client| {
        while retention::purge(client, what, config).await? > 0 {}
        Ok::<_, tokio_postgres::Error>(())
    };
    Ok(db::answer_within(HOUSEKEEPING_INTERVAL, pool.get().await?, purge).await??)
}

/// Waits; `false` when told to stop.
async fn pause(interval: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        () = stop.cancelled() => false,
    }
}
