//! The `worker` command.

use std::io;
use std::pin::{Pin, pin};

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use worker::{Application, Settings};

/// Takes webhooks from the queue and makes each take effect once.
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
    let _logs = shared::telemetry::init();
    shared::crypto::install();
    // Listened to from the beginning: starting may wait for the database or for another's migration.
    let signalled = pin!(shared::shutdown::signalled());
    match command {
        Some(Command::Migrate) => tokio::select! {
            migrated = worker::migrate_only(&settings) => Ok(migrated.map(|_applied| ())?),
            signalled = signalled => Ok(signalled?),
        },
        _ => {
            let traces = shared::traces::start("oncehook-worker")?;
            let ran = run(&settings, signalled).await;
            traces.stop().await;
            ran
        }
    }
}

async fn run(settings: &Settings, mut signalled: Pin<&mut impl Future<Output = io::Result<()>>>) -> anyhow::Result<()> {
    let application = tokio::select! {
        application = Application::build(settings) => application?,
        signalled = &mut signalled => return Ok(signalled?),
    };
    let stop = CancellationToken::new();
    let mut running = tokio::spawn(application.run_until_stopped(stop.clone()));
    tokio::select! {
        ended = &mut running => return Ok(ended??),
        signalled = signalled => signalled?,
    }
    stop.cancel();
    Ok(running.await??)
}
