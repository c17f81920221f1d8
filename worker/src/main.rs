//! The `worker` command.

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use worker::{Application, Settings};

/// Takes webhooks from the queue and makes each take effect once.
#[derive(Parser)]
#[command(version, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Apply database migrations and exit.
    Migrate,
    /// Ask the running worker whether it is ready; the exit code tells.
    Healthcheck,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { command, settings } = Cli::parse();
    if let Some(Command::Healthcheck) = command {
        return shared::ops::healthcheck(settings.ops_listen).map_err(anyhow::Error::msg);
    }
    shared::telemetry::init();
    shared::crypto::install();
    match command {
        Some(Command::Migrate) => worker::migrate_only(&settings).await.map(|_applied| ())?,
        _ => run(&settings).await?,
    }
    Ok(())
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let application = Application::build(settings).await?;
    let stop = CancellationToken::new();
    let mut running = tokio::spawn(application.run_until_stopped(stop.clone()));
    tokio::select! {
        ended = &mut running => return Ok(ended??),
        signalled = shared::shutdown::signalled() => signalled?,
    }
    stop.cancel();
    Ok(running.await??)
}
