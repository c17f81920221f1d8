//! The figures: each in a file, each measured beside its limit.

mod console;
mod drain;
mod effects;
mod growth;
mod ingest;
mod latency;
mod scale;
mod sides;
mod spool;
mod worker;

use crate::run::{Run, say};

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// ingest beside the bare handler and the bare publisher.
    Ingest,
    /// The same by the time that an answer takes.
    Latency,
    /// A worker beside pgbench.
    Worker,
    /// A worker beside itself at batch size 1.
    Batch,
    /// The dispatcher beside lettre and reqwest.
    Effects,
    /// A worker on a large database beside a small one.
    Growth,
    /// More workers, and one before a large backlog.
    Scale,
    /// ingest without its broker, beside a bare group commit.
    Spool,
    /// The console's pages before a million webhooks.
    Console,
}

/// Which figures are measured by which group, in the order in which they are measured.
const FIGURES: [(&str, Group); 13] = [
    ("ingest_ratio", Group::Ingest),
    ("broker_ratio", Group::Ingest),
    ("memory", Group::Ingest),
    ("ingest_p99_ratio", Group::Latency),
    ("worker_ratio", Group::Worker),
    ("memory", Group::Worker),
    ("batch_gain", Group::Batch),
    ("effects_ratio", Group::Effects),
    ("scale", Group::Scale),
    ("memory", Group::Scale),
    ("spool", Group::Spool),
    ("growth", Group::Growth),
    ("console_page_ms", Group::Console),
];

/// Measures one figure, with those that come with it, or all.
///
/// # Errors
/// When there is no such figure, or a measurement fails.
pub(crate) async fn measure(run: &mut Run<'_>, name: Option<&str>) -> anyhow::Result<()> {
    let mut groups: Vec<Group> = Vec::new();
    for (_, group) in FIGURES.iter().filter(|(figure, _)| name.is_none_or(|name| name == *figure)) {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    let names: Vec<_> = FIGURES.iter().map(|(name, _)| *name).collect();
    anyhow::ensure!(!groups.is_empty(), "there is no such figure; there are {}", names.join(", "));
    for group in groups {
        say(&format!("{group:?}"));
        match group {
            Group::Ingest => ingest::measure(run).await?,
            Group::Latency => latency::measure(run).await?,
            Group::Worker => worker::measure(run).await?,
            Group::Batch => worker::measure_batches(run).await?,
            Group::Effects => effects::measure(run).await?,
            Group::Growth => growth::measure(run).await?,
            Group::Scale => scale::measure(run).await?,
            Group::Spool => spool::measure(run).await?,
            Group::Console => console::measure(run).await?,
        }
        run.results.save(run.settings)?;
    }
    Ok(())
}
