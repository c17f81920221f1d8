//! `scale`: what more workers bring, and what one worker does while very much waits.
//!
//! The headline is the worst step of 1, 2, 4, 8 workers: the rate behind it over the rate before it. Where two cores are
//! busy, nothing is gained; nothing may be lost either.

use std::sync::Arc;
use std::time::Duration;

use super::drain::{Backlog, drain};
use crate::process::WorkerSpec;
use crate::results::{Unit, megabytes};
use crate::run::{Run, say};
use crate::statistics::Series;

/// Workers side by side.
const WORKERS: [usize; 4] = [1, 2, 4, 8];
/// How long one worker works on the large backlog, if it is not done before.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (mut rates, mut worst) = (WORKERS.map(|workers| (workers, Series::default())), Series::default());
    for round in 1..=run.settings.rounds() {
        let (mut before, mut step) = (None, f64::INFINITY);
        for (workers, series) in &mut rates {
            let database = Arc::clone(&run.database);
            database.clear().await?;
            let backlog = Backlog { count: run.settings.drained(), workers: *workers, changes: &[] };
            let rate = drain(run, &database, backlog).await?.rate;
            say(&format!("  round {round}, {workers} workers: {rate:.0}/s"));
            step = step.min(before.map_or(f64::INFINITY, |before| rate / before));
            before = Some(rate);
            series.push(rate);
        }
        worst.push(step);
    }
    run.results.put("scale", Unit::Ratio, &worst);
    let mut points = Vec::new();
    for (workers, series) in &rates {
        run.results.put(&format!("scale_{workers}"), Unit::PerSecond, series);
        points.extend(series.summary().map(|summary| (as_f64(*workers), summary.median)));
    }
    run.results.curve("scale", "drain rate", points);
    measure_backlog(run).await
}

/// One worker before very many messages: once, since it takes minutes.
async fn measure_backlog(run: &mut Run<'_>) -> anyhow::Result<()> {
    let count = run.settings.backlog();
    say(&format!("  filling the queue with {count} webhooks"));
    run.queues.renew().await?;
    run.publisher().await?.fill(&mut run.shop, count).await?;
    run.database.clear().await?;
    let since = run.database.now().await?;
    let spec = WorkerSpec { database_url: &run.database.url, changes: &[], mail_server: None };
    let worker = run.programs.worker(spec).await?;
    // Told apart from a failure by the rate: it works either way.
    let done = run.queues.drained(LONGEST).await.is_ok();
    let (memory, rate) = (worker.memory()?, run.database.rate(since).await?);
    worker.stop().await?;
    run.queues.renew().await?;
    let (peak, ending) = (megabytes(memory.peak), if done { "all of it" } else { "what a minute allows" });
    say(&format!("  one worker before {count} webhooks: {peak:.1} MB at most, {rate:.0}/s ({ending})"));
    run.results.put("memory_backlog", Unit::Megabytes, &Series::of(peak));
    run.results.put("backlog_rate", Unit::PerSecond, &Series::of(rate));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "numbers of workers are small")]
fn as_f64(number: usize) -> f64 {
    number as f64
}
