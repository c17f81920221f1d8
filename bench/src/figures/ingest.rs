//! `ingest_ratio` and `broker_ratio`: webhooks answered 200 per second, beside what the same libraries and the same broker
//! give without ingest. `ingest_ratio_message` is the first beside a bare handler whose messages are ingest's. With them
//! come ingest's memory and what one webhook costs until it is on the queue.

use super::sides::{Side, under_load};
use crate::process::Program;
use crate::results::{Unit, megabytes};
use crate::run::{Reading, Run, say};
use crate::statistics::Series;
use crate::usage;

/// The connections at which the figures are taken; the last is the headline's.
const CONNECTIONS: [usize; 2] = [64, 256];
/// Connections that only the plot shows, measured once.
const PLOTTED: [usize; 3] = [1, 8, 16];

/// What all rounds found at one number of connections.
#[derive(Default)]
struct Found {
    ingest: Series,
    handler: Series,
    message_handler: Series,
    publisher: Series,
    to_handler: Series,
    to_message_handler: Series,
    to_publisher: Series,
}

/// What ingest itself took, at the most connections.
#[derive(Default)]
struct Costs {
    memory: Series,
    start: Series,
    ingest_cpu: Series,
    broker_cpu: Series,
    network: Series,
    generator: Series,
}

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut found = CONNECTIONS.map(|connections| (connections, Found::default()));
    let mut costs = Costs::default();
    for round in 1..=run.settings.rounds() {
        for (connections, found) in &mut found {
            let rates = found.push(run, *connections, &mut costs).await?;
            let [ingest, handler, message_handler, publisher] = rates;
            say(&format!(
                "  round {round}, {connections} connections: ingest {ingest:.0}/s, bare handler {handler:.0}/s, \
                 of ingest's message {message_handler:.0}/s, bare publisher {publisher:.0}/s; \
                 ratios {:.3}, {:.3} and {:.3}",
                ingest / handler,
                ingest / message_handler,
                ingest / publisher
            ));
        }
    }
    for (connections, found) in &found {
        let headline = Some(connections) == CONNECTIONS.last();
        let name = |name: &str| if headline { name.to_owned() } else { format!("{name}_{connections}") };
        run.results.put(&name("ingest_ratio"), Unit::Ratio, &found.to_handler);
        run.results.put(&name("ingest_ratio_message"), Unit::Ratio, &found.to_message_handler);
        run.results.put(&name("broker_ratio"), Unit::Ratio, &found.to_publisher);
        run.results.put(&name("ingest_rate"), Unit::PerSecond, &found.ingest);
        run.results.put(&name("handler_rate"), Unit::PerSecond, &found.handler);
        run.results.put(&name("message_handler_rate"), Unit::PerSecond, &found.message_handler);
        run.results.put(&name("publisher_rate"), Unit::PerSecond, &found.publisher);
    }
    costs.tell(run)?;
    plot(run).await
}

/// Throughput over concurrency.
async fn plot(run: &mut Run<'_>) -> anyhow::Result<()> {
    for (side, line, figure) in
        [(Side::Ingest, "ingest", "ingest_rate"), (Side::Handler, "bare handler", "handler_rate")]
    {
        let mut points = Vec::new();
        for connections in PLOTTED {
            points.push((as_f64(connections), side.closed(run, connections).await?.rate()));
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
    /// Measures all sides once; returns their rates.
    async fn push(&mut self, run: &mut Run<'_>, connections: usize, costs: &mut Costs) -> anyhow::Result<[f64; 4]> {
        let ingest = ingest(run, connections, costs).await?;
        let handler = Side::Handler.closed(run, connections).await?.rate();
        let message_handler = Side::MessageHandler.closed(run, connections).await?.rate();
        let publisher = Side::Publisher.closed(run, connections).await?.rate();
        self.ingest.push(ingest);
        self.handler.push(handler);
        self.message_handler.push(message_handler);
        self.publisher.push(publisher);
        self.to_handler.push(ingest / handler);
        self.to_message_handler.push(ingest / message_handler);
        self.to_publisher.push(ingest / publisher);
        Ok([ingest, handler, message_handler, publisher])
    }
}

/// Measures ingest, and what it costs.
async fn ingest(run: &mut Run<'_>, connections: usize, costs: &mut Costs) -> anyhow::Result<f64> {
    run.queues.renew().await?;
    let program = run.programs.ingest().await?;
    let (before, used) = (run.reading().await?, program.cpu_seconds()?);
    let load = under_load(run, &program, connections).await?;
    if Some(&connections) == CONNECTIONS.last() {
        costs.push(&program, used, run.reading().await?.since(&before), load.all)?;
        costs.generator.push(load.own_cpu_share);
    }
    program.stop().await?;
    Ok(load.rate())
}

impl Costs {
    #[allow(clippy::cast_precision_loss, reason = "webhooks of a few seconds are far below 2^53")]
    fn push(&mut self, ingest: &Program, used_before: f64, used: Reading, webhooks: u64) -> anyhow::Result<()> {
        let webhooks = webhooks as f64;
        self.memory.push(megabytes(ingest.memory()?.resident));
        self.start.push(ingest.start_to_ready.as_secs_f64());
        self.ingest_cpu.push((ingest.cpu_seconds()? - used_before) / webhooks);
        self.broker_cpu.push(used.broker_cpu_seconds / webhooks);
        self.network.push(used.network_bytes / webhooks);
        Ok(())
    }

    fn tell(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        run.results.put("memory", Unit::Megabytes, &self.memory);
        run.results.put("start_ready_seconds", Unit::Seconds, &self.start);
        run.results.put("load_generator_cpu", Unit::Ratio, &self.generator);
        run.results.cost("ingest_cpu_seconds", &self.ingest_cpu);
        run.results.cost("rabbitmq_publish_cpu_seconds", &self.broker_cpu);
        run.results.cost("ingest_network_bytes", &self.network);
        for program in ["ingest", "worker"] {
            let size = Series::of(usage::file_bytes(&run.settings.binaries.join(program))?);
            run.results.put(&format!("binary_bytes_{program}"), Unit::Bytes, &size);
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of connections are small")]
fn as_f64(number: usize) -> f64 {
    number as f64
}
