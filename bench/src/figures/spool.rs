//! `spool`: webhooks answered 200 per second while the broker is away, beside a bare group commit on the same disk.

use shared::config::SpoolConfig;

use super::sides::under_load;
use crate::group_commit;
use crate::load::Load;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statistics::Series;

/// As many as at the headline of `ingest_ratio`.
const CONNECTIONS: usize = 256;

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (mut ratio, mut rate, mut limit) = (Series::default(), Series::default(), Series::default());
    let (mut p99, mut limit_p99) = (Series::default(), Series::default());
    for round in 1..=run.settings.rounds() {
        let (ours, bare) = (spooled(run).await?, committed(run).await?);
        ratio.push(ours.rate() / bare.rate());
        rate.push(ours.rate());
        limit.push(bare.rate());
        p99.push(ours.latency_ms(0.99));
        limit_p99.push(bare.latency_ms(0.99));
        say(&format!(
            "  round {round}: spooled {:.0}/s (p99 {:.1} ms), bare group commit {:.0}/s (p99 {:.1} ms); ratio {:.3}",
            ours.rate(),
            ours.latency_ms(0.99),
            bare.rate(),
            bare.latency_ms(0.99),
            ours.rate() / bare.rate()
        ));
    }
    run.results.put("spool", Unit::Ratio, &ratio);
    run.results.put("spool_rate", Unit::PerSecond, &rate);
    run.results.put("spool_p99", Unit::Milliseconds, &p99);
    run.results.put("group_commit_rate", Unit::PerSecond, &limit);
    run.results.put("group_commit_p99", Unit::Milliseconds, &limit_p99);
    Ok(())
}

/// ingest without its broker.
async fn spooled(run: &mut Run<'_>) -> anyhow::Result<Load> {
    let program = run.programs.ingest_alone().await?;
    let load = under_load(run, &program, CONNECTIONS).await?;
    program.stop().await?;
    std::fs::remove_dir_all(run.programs.spool())?;
    Ok(load)
}

/// The bare group commit.
async fn committed(run: &mut Run<'_>) -> anyhow::Result<Load> {
    let (directory, body) = (run.settings.data.join("group-commit"), run.shop.body());
    let (group, span) = (SpoolConfig::default().group, run.settings.span());
    tokio::task::spawn_blocking(move || group_commit::commit(&directory, &body, CONNECTIONS, group, span)).await?
}
