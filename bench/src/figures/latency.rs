//! `ingest_p99_ratio`: the time within which 99 of 100 webhooks are answered, at half of the highest rate.
//!
//! The limit is a bare confirmed publish at that rate, without any HTTP. The bare handler's is told beside it: what
//! HTTP itself adds. Both are measured minutes from ingest's, and what the disk does in a minute, it does not in the
//! next: so a few bare publishes go to the same queue at the same time, and `ingest_p99_ratio_probe` is told beside
//! theirs.

use std::fmt;

use super::sides::{Probed, Side};
use crate::load::Load;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statistics::Series;

/// What ingest can do when nobody knows: the connections at which it is asked.
const CONNECTIONS: usize = 256;
/// The shares that the plot shows.
const PLOTTED: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999];

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let rate = Side::Ingest.closed(run, CONNECTIONS).await?.rate() / 2.0;
    let (mut ratio, mut to_handler) = (Series::default(), Series::default());
    let mut sides = [Side::Ingest, Side::Handler, Side::Publisher].map(Found::new);
    for round in 1..=run.settings.rounds() {
        for side in &mut sides {
            side.push(run, rate).await?;
        }
        let [ingest, handler, publisher] = sides.each_ref().map(|side| side.last);
        ratio.push(ingest.p99 / publisher.p99);
        to_handler.push(ingest.p99 / handler.p99);
        say(&format!(
            "  round {round}, {rate:.0}/s: p99 of ingest {ingest}, bare handler {handler}, bare publisher {publisher}; \
             ratio {:.2}",
            ingest.p99 / publisher.p99
        ));
    }
    run.results.put("ingest_p99_ratio", Unit::Ratio, &ratio);
    run.results.put("ingest_p99_ratio_handler", Unit::Ratio, &to_handler);
    run.results.put("ingest_p99_at_rate", Unit::PerSecond, &Series::of(rate));
    for (name, side) in ["ingest_p99", "handler_p99", "publisher_p99"].into_iter().zip(&sides) {
        run.results.put(name, Unit::Milliseconds, &side.p99);
        run.results.put(&format!("{name}_ratio_probe"), Unit::Ratio, &side.to_probe);
    }
    Ok(())
}

/// What all rounds found of one side.
struct Found {
    side: Side,
    p99: Series,
    /// Beside the bare publishes of the same time.
    to_probe: Series,
    last: Round,
}

/// What one round found of one side, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Round {
    p99: f64,
    /// Of the bare publishes of the same time.
    probe: f64,
}

impl Found {
    fn new(side: Side) -> Self {
        Self { side, p99: Series::default(), to_probe: Series::default(), last: Round::default() }
    }

    async fn push(&mut self, run: &mut Run<'_>, rate: f64) -> anyhow::Result<()> {
        let Probed { load, probe } = self.side.open(run, rate).await?;
        self.last = Round { p99: load.latency_ms(0.99), probe: probe.latency_ms(0.99) };
        self.p99.push(self.last.p99);
        self.to_probe.push(self.last.p99 / self.last.probe);
        run.results.curve("latency", self.side.name(), distribution(&load));
        Ok(())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.2} ms (probe {:.2})", self.p99, self.probe)
    }
}

/// Milliseconds over the share of answers.
fn distribution(load: &Load) -> Vec<(f64, f64)> {
    PLOTTED.iter().map(|share| (*share, load.latency_ms(*share))).collect()
}
