//! `worker_ratio` and `batch_gain`: webhooks processed per second from a backlog, beside pgbench running the same
//! transactions, and beside the same worker with one webhook a transaction.

use std::sync::Arc;

use super::drain::{Backlog, Drained, drain};
use crate::pgbench::Replay;
use crate::process::Change;
use crate::results::{Unit, megabytes};
use crate::run::{Run, say};
use crate::statements;
use crate::statistics::Series;

/// Webhooks whose transactions pgbench replays.
const REPLAYED: usize = 10_000;
/// The worker's setting that `batch_gain` is about.
const SINGLY: Change<'static> = ("batch_size = 100 ", "batch_size = 1 ");

/// What the rounds found.
#[derive(Default)]
struct Found {
    ratio: Series,
    worker: Series,
    pgbench: Series,
    memory: Series,
    start: Series,
}

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (replay, mut found, mut costs) = (prepare(run).await?, Found::default(), Costs::default());
    for round in 1..=run.settings.rounds() {
        let drained = drain_empty(run, run.settings.drained(), &[]).await?;
        costs.push(run, &drained).await?;
        run.database.clear().await?;
        let (worker, pgbench) = (drained.rate, replay.run(&run.database).await?);
        found.worker.push(worker);
        found.pgbench.push(pgbench);
        found.ratio.push(worker / pgbench);
        found.memory.push(megabytes(drained.peak_bytes));
        found.start.push(drained.start_to_ready.as_secs_f64());
        say(&format!("  round {round}: worker {worker:.0}/s, pgbench {pgbench:.0}/s; ratio {:.3}", worker / pgbench));
    }
    run.results.put("worker_ratio", Unit::Ratio, &found.ratio);
    run.results.put("worker_rate", Unit::PerSecond, &found.worker);
    run.results.put("pgbench_rate", Unit::PerSecond, &found.pgbench);
    run.results.put("memory_worker", Unit::Megabytes, &found.memory);
    run.results.put("start_ready_seconds_worker", Unit::Seconds, &found.start);
    costs.tell(run);
    Ok(())
}

pub(super) async fn measure_batches(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (mut gain, mut single) = (Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let batched = drain_empty(run, run.settings.drained(), &[]).await?.rate;
        let singly = drain_empty(run, run.settings.drained_singly(), &[SINGLY]).await?.rate;
        gain.push(batched / singly);
        single.push(singly);
        say(&format!("  round {round}: in batches {batched:.0}/s, singly {singly:.0}/s; gain {:.2}", batched / singly));
    }
    run.results.put("batch_gain", Unit::Ratio, &gain);
    run.results.put("worker_rate_singly", Unit::PerSecond, &single);
    Ok(())
}

/// Lets a worker process a backlog with every statement logged, and makes a replay of its transactions.
async fn prepare(run: &mut Run<'_>) -> anyhow::Result<Replay> {
    say("  reading the worker's statements from the log of Postgres");
    let since = std::fs::metadata(&run.settings.postgres_log)?.len();
    run.database.execute("ALTER DATABASE bench SET log_statement = 'all'").await?;
    let drained = drain_empty(run, REPLAYED, &[]).await;
    run.database.execute("ALTER DATABASE bench RESET log_statement").await?;
    drained?;
    let transactions = statements::captured(&run.settings.postgres_log, since)?;
    Replay::prepare(run.settings, &run.database, &transactions).await
}

/// Drains with one worker, from empty tables.
async fn drain_empty(run: &mut Run<'_>, count: usize, changes: &[Change<'_>]) -> anyhow::Result<Drained> {
    let database = Arc::clone(&run.database);
    database.clear().await?;
    drain(run, &database, Backlog { count, workers: 1, changes }).await
}

/// What one webhook costs from the queue to the database.
#[derive(Default)]
struct Costs {
    worker_cpu: Series,
    broker_cpu: Series,
    postgres_cpu: Series,
    wal: Series,
    disk: Series,
    rows: Series,
    network: Series,
}

impl Costs {
    /// Divides what a drain took by its webhooks, which are all that the tables hold.
    async fn push(&mut self, run: &Run<'_>, drained: &Drained) -> anyhow::Result<()> {
        let sizes = run.database.sizes().await?;
        self.worker_cpu.push(drained.worker_cpu_seconds / sizes.webhooks);
        self.broker_cpu.push(drained.used.broker_cpu_seconds / sizes.webhooks);
        self.postgres_cpu.push(drained.used.postgres_cpu_seconds / sizes.webhooks);
        self.wal.push(drained.used.wal_bytes / sizes.webhooks);
        self.network.push(drained.used.network_bytes / sizes.webhooks);
        self.disk.push(sizes.bytes / sizes.webhooks);
        self.rows.push(sizes.rows / sizes.webhooks);
        Ok(())
    }

    fn tell(&self, run: &mut Run<'_>) {
        run.results.cost("worker_cpu_seconds", &self.worker_cpu);
        run.results.cost("rabbitmq_deliver_cpu_seconds", &self.broker_cpu);
        run.results.cost("postgres_cpu_seconds", &self.postgres_cpu);
        run.results.cost("wal_bytes", &self.wal);
        run.results.cost("disk_bytes", &self.disk);
        run.results.cost("rows", &self.rows);
        run.results.cost("worker_network_bytes", &self.network);
    }
}
