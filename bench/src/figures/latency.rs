//! `ingest_p99_ratio`: the time within which 99 of 100 webhooks are answered, at half of the highest rate.
//!
//! The limit is a bare confirmed publish at that rate, without any HTTP. The bare handler's is told beside it: what
//! HTTP itself adds.

use super::sides::Side;
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
    let mut p99 = [Side::Ingest, Side::Handler, Side::Publisher].map(|side| (side, Series::default()));
    for round in 1..=run.settings.rounds() {
        let mut found = [0.0; 3];
        for ((side, series), found) in p99.iter_mut().zip(&mut found) {
            let load = side.open(run, rate).await?;
            *found = load.latency_ms(0.99);
            series.push(*found);
            run.results.curve("latency", side.name(), distribution(&load));
        }
        let [ingest, handler, publisher] = found;
        ratio.push(ingest / publisher);
        to_handler.push(ingest / handler);
        say(&format!(
            "  round {round}, {rate:.0}/s: p99 of ingest {ingest:.2} ms, bare handler {handler:.2} ms, bare publisher \
             {publisher:.2} ms; ratio {:.2}",
            ingest / publisher
        ));
    }
    run.results.put("ingest_p99_ratio", Unit::Ratio, &ratio);
    run.results.put("ingest_p99_ratio_handler", Unit::Ratio, &to_handler);
    run.results.put("ingest_p99_at_rate", Unit::PerSecond, &Series::of(rate));
    for (name, (_, series)) in ["ingest_p99", "handler_p99", "publisher_p99"].into_iter().zip(&p99) {
        run.results.put(name, Unit::Milliseconds, series);
    }
    Ok(())
}

/// Milliseconds over the share of answers.
fn distribution(load: &Load) -> Vec<(f64, f64)> {
    PLOTTED.iter().map(|share| (*share, load.latency_ms(*share))).collect()
}
