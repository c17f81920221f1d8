//! The fault suite: breaks real processes and services under load, and counts what came of every webhook.
//!
//! `make faults` runs all of it. A run is one fault with one seed: a fake provider sends orders and repeats what was
//! not answered 2xx; the fault happens and is healed; when queues, spools and sends have drained, the checker
//! compares what was answered with what took effect. The seed draws the orders and everything random in the fault;
//! what the machine's scheduling adds cannot be repeated.

mod checker;
mod clock;
mod database;
mod disk;
mod faults;
mod history;
mod mail;
mod process;
mod provider;
mod relay;
mod report;
mod services;
mod setup;
mod shop;
mod spool;
mod suite;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::faults::{ALL, Cost, Fault};
use crate::services::Services;

/// Breaks things under load and counts.
#[derive(Debug, Parser)]
struct Arguments {
    /// One fault, by name or number; all without it.
    #[arg(long)]
    fault: Option<String>,
    /// The first seed; drawn, and printed, without it.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds the cheap faults run with; slow ones run with a third as many, rounded up.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only the cheap faults.
    #[arg(long)]
    quick: bool,
    /// Where the results go.
    #[arg(long, default_value = "faults/results/latest.json")]
    results: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let services = Services::from_environment()?;
    let chosen = chosen(&arguments)?;
    tokio::select! {
        outcome = run_all(&arguments, &services, chosen) => outcome,
        told = shared::shutdown::signalled() => {
            told?;
            say("interrupted; mending the services");
            services.mend().await?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn run_all(arguments: &Arguments, services: &Services, chosen: Vec<&'static Fault>) -> anyhow::Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    say(&format!("{} faults, first seed {seed}", chosen.len()));
    let (began, mut runs) = (Instant::now(), Vec::new());
    for fault in chosen {
        let seeds = if fault.cost == Cost::Slow { arguments.seeds.div_ceil(3) } else { arguments.seeds };
        for seed in seed..seed + seeds {
            let run = suite::run(services, fault, seed).await;
            say(&run.line());
            run.details().iter().for_each(|detail| say(&format!("          {detail}")));
            runs.push(run);
            report::write(&arguments.results, &runs)?;
        }
    }
    let failed = runs.iter().filter(|run| !run.passed()).count();
    let accepted: usize = runs.iter().map(|run| run.answered_2xx).sum();
    say(&format!(
        "{} runs in {:.0} s, {accepted} webhooks answered 2xx, {} lost, {} doubled, {failed} runs failed; {}",
        runs.len(),
        began.elapsed().as_secs_f64(),
        runs.iter().map(|run| run.lost).sum::<usize>(),
        runs.iter().map(|run| run.doubled).sum::<usize>(),
        arguments.results.display(),
    ));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(arguments: &Arguments) -> anyhow::Result<Vec<&'static Fault>> {
    let wanted = |fault: &&Fault| match &arguments.fault {
        Some(name) => fault.name == name || fault.number.to_string() == *name,
        None => !arguments.quick || fault.cost == Cost::Cheap,
    };
    let chosen: Vec<&Fault> = ALL_FAULTS.iter().filter(wanted).collect();
    let names: Vec<_> = ALL_FAULTS.iter().map(|fault| fault.name).collect();
    anyhow::ensure!(!chosen.is_empty(), "there is no such fault; there are {}", names.join(", "));
    Ok(chosen)
}

static ALL_FAULTS: [Fault; 26] = ALL;

#[allow(clippy::print_stdout, reason = "the suite's report")]
fn say(text: &str) {
    println!("{text}");
}
