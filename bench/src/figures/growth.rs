//! `growth`: the worker's rate with years of webhooks behind it, beside the same with nearly none.
//!
//! The large database has 10 million claims and thirty days of payloads. It is made once, and kept between runs.

use std::sync::Arc;

use super::drain::{Backlog, drain};
use crate::database::Database;
use crate::process::Change;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statistics::Series;

/// Claims in the small database.
const SMALL: i64 = 10_000;
/// Numbers of claims that only the plot shows, measured once.
const PLOTTED: [i64; 2] = [100_000, 1_000_000];
/// Payloads stored on each of the thirty days of the large database.
const PAYLOADS_A_DAY: i64 = 10_000;
/// A database that is kept may be older than the retention, which would purge it while it is measured.
const KEPT: [Change<'static>; 2] =
    [("processed_days = 31", "processed_days = 3650"), ("payload_days = 30", "payload_days = 3650")];

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let small = Arc::new(Database::open(&run.settings.database_url, "bench_small").await?);
    let large = Arc::new(Database::open(&run.settings.database_url, "bench_large").await?);
    let rows = run.settings.growth_rows;
    if large.grown().await? != rows {
        say(&format!("  making {rows} claims and thirty days of payloads"));
        large.clear().await?;
        large.grow(rows).await?;
        large.store_payloads(PAYLOADS_A_DAY).await?;
    }
    let (mut growth, mut before, mut behind) = (Series::default(), Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let young = drain_with(run, &small, SMALL).await?;
        large.clear_but_history().await?;
        let old = drain_kept(run, &large).await?;
        growth.push(old / young);
        before.push(young);
        behind.push(old);
        say(&format!(
            "  round {round}: {SMALL} claims {young:.0}/s, {rows} claims {old:.0}/s; ratio {:.3}",
            old / young
        ));
    }
    run.results.put("growth", Unit::Ratio, &growth);
    run.results.put("growth_small_rate", Unit::PerSecond, &before);
    run.results.put("growth_large_rate", Unit::PerSecond, &behind);
    plot(run, &small).await
}

/// Cost over table size.
async fn plot(run: &mut Run<'_>, small: &Arc<Database>) -> anyhow::Result<()> {
    let micros = |rate: f64| 1_000_000.0 / rate;
    let mut points = Vec::new();
    points.extend(run.results.median("growth_small_rate").map(|rate| (as_f64(SMALL), micros(rate))));
    for rows in PLOTTED.into_iter().filter(|rows| *rows < run.settings.growth_rows) {
        points.push((as_f64(rows), micros(drain_with(run, small, rows).await?)));
    }
    let large = run.results.median("growth_large_rate");
    points.extend(large.map(|rate| (as_f64(run.settings.growth_rows), micros(rate))));
    run.results.curve("growth", "time per webhook", points);
    Ok(())
}

/// Drains with so many claims there.
async fn drain_with(run: &mut Run<'_>, database: &Arc<Database>, rows: i64) -> anyhow::Result<f64> {
    database.clear().await?;
    database.grow(rows).await?;
    drain_kept(run, database).await
}

async fn drain_kept(run: &mut Run<'_>, database: &Arc<Database>) -> anyhow::Result<f64> {
    let backlog = Backlog { count: run.settings.drained(), workers: 1, changes: &KEPT };
    Ok(drain(run, database, backlog).await?.rate)
}

#[allow(clippy::cast_precision_loss, reason = "rows are far below 2^53")]
fn as_f64(rows: i64) -> f64 {
    rows as f64
}
