//! A backlog and the workers that process it: what all figures about workers measure with.

use std::sync::Arc;
use std::time::Duration;

use crate::database::Database;
use crate::process::{Change, Program, WorkerSpec};
use crate::run::{Reading, Run};

/// How long a backlog may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What waits, and who takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog<'b> {
    /// Webhooks.
    pub(super) count: usize,
    pub(super) workers: usize,
    /// Of the workers' configuration.
    pub(super) changes: &'b [Change<'b>],
}

/// What a drain found.
#[derive(Debug)]
pub(super) struct Drained {
    /// Webhooks a second.
    pub(super) rate: f64,
    /// The most memory that a worker had resident, in bytes.
    pub(super) peak_bytes: u64,
    /// From the first worker's start until it was ready.
    pub(super) start_to_ready: Duration,
    /// What it took in all, to be divided by the webhooks.
    pub(super) used: Reading,
    /// Processor time of the workers, in seconds.
    pub(super) worker_cpu_seconds: f64,
}

/// Fills the queue, starts the workers and waits until all is processed. The database is as the caller has left it.
///
/// # Errors
/// When it is not processed in time.
pub(super) async fn drain(
    run: &mut Run<'_>,
    database: &Arc<Database>,
    backlog: Backlog<'_>,
) -> anyhow::Result<Drained> {
    run.queues.renew().await?;
    run.publisher().await?.fill(&mut run.shop, backlog.count).await?;
    database.execute("CHECKPOINT").await?;
    let (since, before) = (database.now().await?, run.reading().await?);
    let spec = WorkerSpec { database_url: &database.url, changes: backlog.changes, mail_server: None };
    let starting = (0..backlog.workers).map(|_| run.programs.worker(spec));
    let workers: Vec<Program> = futures_util::future::try_join_all(starting).await?;
    run.queues.drained(PATIENCE).await?;
    database.has_processed(backlog.count, since, PATIENCE).await?;
    let drained = Drained {
        rate: database.rate(since).await?,
        peak_bytes: peak(&workers)?,
        start_to_ready: workers.first().map_or(Duration::ZERO, |worker| worker.start_to_ready),
        used: run.reading().await?.since(&before),
        worker_cpu_seconds: workers.iter().map(Program::cpu_seconds).sum::<anyhow::Result<f64>>()?,
    };
    stop(workers).await?;
    Ok(drained)
}

fn peak(workers: &[Program]) -> anyhow::Result<u64> {
    let peaks = workers.iter().map(|worker| Ok(worker.memory()?.peak)).collect::<anyhow::Result<Vec<u64>>>()?;
    Ok(peaks.into_iter().max().unwrap_or_default())
}

async fn stop(workers: Vec<Program>) -> anyhow::Result<()> {
    futures_util::future::try_join_all(workers.into_iter().map(Program::stop)).await.map(|_stopped| ())
}
