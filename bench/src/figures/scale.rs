//! `scale`: what more workers bring, and what one worker does while very much waits.
//!
//! The headline is the worst step of 1, 2, 4, 8 workers: the rate behind it over the rate before it, of the step whose median
//! is the least. Where two cores are busy, nothing is gained; nothing may be lost either.

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
    let mut rates = WORKERS.map(|workers| (workers, Series::default()));
    let mut steps = WORKERS.map(|_behind| Series::default());
    for round in 1..=run.settings.rounds() {
        let mut before = None;
        for ((workers, series), step) in rates.iter_mut().zip(&mut steps) {
            let database = Arc::clone(&run.database);
            database.clear().await?;
            let backlog = Backlog { count: run.settings.drained(), workers: *workers, changes: &[] };
            let rate = drain(run, &database, backlog).await?.rate;
            say(&format!("  round {round}, {workers} workers: {rate:.0}/s"));
            if let Some(before) = before.replace(rate) {
                step.push(rate / before);
            }
            series.push(rate);
        }
    }
    if let Some(worst) = worst(&steps) {
        run.results.put("scale", Unit::Ratio, worst);
    }
    let mut points = Vec::new();
    for (workers, series) in &rates {
        run.results.put(&format!("scale_{workers}"), Unit::PerSecond, series);
        points.extend(series.summary().map(|summary| (as_f64(*workers), summary.median)));
    }
    run.results.curve("scale", "drain rate", points);
    measure_backlog(run).await
}

/// The step with the least median: the least of each round would be that of its noise.
fn worst(steps: &[Series]) -> Option<&Series> {
    let median = |step: &&Series| step.summary().map_or(f64::INFINITY, |summary| summary.median);
    steps.iter().min_by(|one, other| median(one).total_cmp(&median(other)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_step_is_that_of_the_least_median_and_not_of_the_least_round() {
        let series = |rounds: [f64; 3]| {
            let mut series = Series::default();
            rounds.into_iter().for_each(|ratio| series.push(ratio));
            series
        };
        let steps = [Series::default(), series([0.5, 1.2, 1.3]), series([1.0, 1.1, 1.2])];
        assert_eq!(worst(&steps).and_then(Series::summary).map(|summary| summary.median), Some(1.1));
    }
}
