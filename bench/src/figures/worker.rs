//! `worker_ratio` and `batch_gain`: webhooks processed per second from a backlog, beside pgbench running the same
//! transactions, and beside the same worker with one webhook a transaction.

use std::time::Duration;

use crate::pgbench::Replay;
use crate::process::{Change, WorkerSpec};
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statements;
use crate::statistics::Series;

/// How long a backlog may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// Webhooks whose transactions pgbench replays.
const REPLAYED: usize = 10_000;
/// The worker's setting that `batch_gain` is about.
const BATCH: Change<'static> = ("batch_size = 100 ", "batch_size = 1 ");

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let replay = prepare(run).await?;
    let (mut ratio, mut ours, mut limit) = (Series::default(), Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let worker = drain(run, run.settings.drained(), &[]).await?;
        run.database.clear().await?;
        let pgbench = replay.run(&run.database).await?;
        ours.push(worker);
        limit.push(pgbench);
        ratio.push(worker / pgbench);
        say(&format!("  round {round}: worker {worker:.0}/s, pgbench {pgbench:.0}/s; ratio {:.3}", worker / pgbench));
    }
    run.results.put("worker_ratio", Unit::Ratio, &ratio);
    run.results.put("worker_rate", Unit::PerSecond, &ours);
    run.results.put("pgbench_rate", Unit::PerSecond, &limit);
    Ok(())
}

pub(super) async fn measure_batches(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (mut gain, mut single) = (Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let batched = drain(run, run.settings.drained(), &[]).await?;
        let singly = drain(run, run.settings.drained_singly(), &[BATCH]).await?;
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
    let drained = drain(run, REPLAYED, &[]).await;
    run.database.execute("ALTER DATABASE bench RESET log_statement").await?;
    drained?;
    let transactions = statements::captured(&run.settings.postgres_log, since)?;
    Replay::prepare(run.settings, &run.database, &transactions).await
}

/// Drains so many webhooks with one worker, from empty tables; returns how many a second.
async fn drain(run: &mut Run<'_>, count: usize, changes: &[Change<'_>]) -> anyhow::Result<f64> {
    run.queues.renew().await?;
    run.publisher().await?.fill(&mut run.shop, count).await?;
    run.database.clear().await?;
    let since = run.database.now().await?;
    let spec = WorkerSpec { database_url: &run.database.url, changes, mail_server: None };
    let worker = run.programs.worker(spec).await?;
    run.queues.drained(PATIENCE).await?;
    run.database.has_processed(count, since, PATIENCE).await?;
    let rate = run.database.rate(since).await?;
    worker.stop().await?;
    Ok(rate)
}
