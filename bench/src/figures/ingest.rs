//! `ingest_ratio` and `broker_ratio`: webhooks answered 200 per second, beside what the same libraries and the same broker
//! give without ingest.
//!
//! Each side begins with new queues and a new process. Nobody consumes.

use crate::load::{Load, Target, closed};
use crate::process::Program;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::statistics::Series;

/// The connections at which the figures are taken; the last is the headline's.
const CONNECTIONS: [usize; 2] = [64, 256];
/// Connections that only the plot shows, measured once.
const PLOTTED: [usize; 3] = [1, 8, 16];

/// What is put under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ingest,
    Handler,
    Publisher,
}

/// What all rounds found at one number of connections.
#[derive(Default)]
struct Found {
    ingest: Series,
    handler: Series,
    publisher: Series,
    to_handler: Series,
    to_publisher: Series,
}

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut found = CONNECTIONS.map(|connections| (connections, Found::default()));
    for round in 1..=run.settings.rounds() {
        for (connections, found) in &mut found {
            let mut rates = [0.0; 3];
            for (side, rate) in [Side::Ingest, Side::Handler, Side::Publisher].into_iter().zip(&mut rates) {
                *rate = side.load(run, *connections).await?.rate();
            }
            let [ingest, handler, publisher] = rates;
            found.push(rates);
            say(&format!(
                "  round {round}, {connections} connections: ingest {ingest:.0}/s, bare handler {handler:.0}/s, \
                 bare publisher {publisher:.0}/s; ratios {:.3} and {:.3}",
                ingest / handler,
                ingest / publisher
            ));
        }
    }
    for (connections, found) in &found {
        let headline = Some(connections) == CONNECTIONS.last();
        let name = |name: &str| if headline { name.to_owned() } else { format!("{name}_{connections}") };
        run.results.put(&name("ingest_ratio"), Unit::Ratio, &found.to_handler);
        run.results.put(&name("broker_ratio"), Unit::Ratio, &found.to_publisher);
        run.results.put(&name("ingest_rate"), Unit::PerSecond, &found.ingest);
        run.results.put(&name("handler_rate"), Unit::PerSecond, &found.handler);
        run.results.put(&name("publisher_rate"), Unit::PerSecond, &found.publisher);
    }
    plot(run).await
}

/// Throughput over concurrency.
async fn plot(run: &mut Run<'_>) -> anyhow::Result<()> {
    for (side, line, figure) in
        [(Side::Ingest, "ingest", "ingest_rate"), (Side::Handler, "bare handler", "handler_rate")]
    {
        let mut points = Vec::new();
        for connections in PLOTTED {
            points.push((as_f64(connections), side.load(run, connections).await?.rate()));
        }
        for connections in CONNECTIONS {
            let single = format!("{figure}_{connections}");
            let rate = run.results.median(&single).or_else(|| run.results.median(figure));
            points.extend(rate.map(|rate| (as_f64(connections), rate)));
        }
        run.results.curve("throughput", line, points);
    }
    Ok(())
}

impl Found {
    fn push(&mut self, [ingest, handler, publisher]: [f64; 3]) {
        self.ingest.push(ingest);
        self.handler.push(handler);
        self.publisher.push(publisher);
        self.to_handler.push(ingest / handler);
        self.to_publisher.push(ingest / publisher);
    }
}

impl Side {
    /// Puts it under load, on new queues.
    async fn load(self, run: &mut Run<'_>, connections: usize) -> anyhow::Result<Load> {
        run.queues.renew().await?;
        let span = run.settings.span();
        match self {
            Self::Publisher => run.publisher().await?.closed(&mut run.shop, connections, span).await,
            Self::Ingest => {
                let program = run.programs.ingest().await?;
                load(run, program, connections).await
            }
            Self::Handler => {
                let program = run.programs.handler(&run.queues.webhooks()).await?;
                load(run, program, connections).await
            }
        }
    }
}

async fn load(run: &mut Run<'_>, program: Program, connections: usize) -> anyhow::Result<Load> {
    let target = Target::new(program.address, &mut run.shop, connections);
    let load = closed(target, run.settings.span()).await?;
    program.stop().await?;
    Ok(load)
}

#[allow(clippy::cast_precision_loss, reason = "numbers of connections are small")]
fn as_f64(number: usize) -> f64 {
    number as f64
}
