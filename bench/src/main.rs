//! The benchmark: Oncehook beside the limits that broker, database and disk set.
//!
//! `make bench` runs all of it. Every figure is measured together with its limit in one run: ours, limit, ours, limit, for
//! some rounds, each from the same state of broker and database. What counts are the ratios, which depend on the
//! machine much less than seconds do. Benchmarks are no tests: a figure that misses its goal is told, and nothing fails.
//!
//! Not promised: figures of a machine that does something else meanwhile.

mod capacity;
mod crowd;
mod database;
mod figures;
mod group_commit;
mod handler;
mod history;
mod load;
mod machine;
mod pgbench;
mod plots;
mod process;
mod publisher;
mod queue;
mod results;
mod run;
mod senders;
mod settings;
mod shop;
mod sinks;
mod statements;
mod statistics;
mod targets;
mod usage;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::capacity::{Costs, Question};
use crate::handler::HandlerSettings;
use crate::machine::Machine;
use crate::run::{Run, say};
use crate::settings::Settings;

/// Measures Oncehook beside its limits.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and write results.
    Run(Box<Settings>),
    /// Be the bare handler, one of the limits.
    Handler(HandlerSettings),
    /// Say how many machines a rate needs.
    Capacity {
        #[command(flatten)]
        question: Question,
        /// Costs of other measurements, in the form of `bench/costs.toml`.
        #[arg(long)]
        costs: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(settings) => run(&settings).await,
        Command::Handler(settings) => handler::serve(settings).await,
        Command::Capacity { question, costs } => {
            say(&Costs::load(costs.as_deref())?.answer(&question).text());
            Ok(())
        }
    }
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut run = Run::begin(settings).await?;
    run.results.machine = Some(Machine::here(&run.database, settings).await?);
    figures::measure(&mut run, settings.figure.as_deref()).await?;
    run.results.save(settings)?;
    plots::draw(&run.results, &settings.results)?;
    say(&targets::table(&run.results).to_string());
    say(&format!("written to {}", settings.results.join("latest.json").display()));
    Ok(())
}
