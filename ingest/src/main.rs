//! The `ingest` command.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use ingest::{Application, Settings};

/// A body of 2 KiB is large to the system's allocator: each one makes it tidy up.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives webhooks, verifies them, and makes them durable before it acknowledges them.
#[derive(Parser)]
#[command(version, subcommand_negates_reqs = true, after_help = shared::traces::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the running ingest whether it is ready; the exit code tells.
    Healthcheck,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Healthcheck) => shared::ops::healthcheck(cli.settings.ops_listen).map_err(anyhow::Error::msg),
        None => run(&cli.settings).await,
    }
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let _logs = shared::telemetry::init();
    shared::crypto::install();
    let traces = shared::traces::start("oncehook-ingest")?;
    let ran = receive(settings).await;
    traces.stop().await;
    ran
}

async fn receive(settings: &Settings) -> anyhow::Result<()> {
    let application = Application::build(settings)?;
    let stop = async {
        let signalled = shared::shutdown::signalled().await;
        tracing::info!("stopping: answering what is in flight");
        signalled
    };
    application.run_until_stopped(stop).await?.context("cannot listen for signals")
}
