//! The `worker` command.

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use worker::{Application, Settings};

/// Takes webhooks from the queue and makes each take effect once.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Option<Settings>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply database migrations and exit.
    Migrate(Settings),
    /// Ask the running worker whether it is ready; the exit code tells.
    Healthcheck {
        /// The worker's ops address.
        #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9091")]
        ops_listen: std::net::SocketAddr,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(Command::Healthcheck { ops_listen }) = cli.command {
        return shared::ops::healthcheck(ops_listen).map_err(anyhow::Error::msg);
    }
    shared::telemetry::init();
    shared::crypto::install();
    match cli.command {
        Some(Command::Migrate(settings)) => worker::migrate_only(&settings).await.map(|_applied| ())?,
        _ => run(cli.settings).await?,
    }
    Ok(())
}

async fn run(settings: Option<Settings>) -> anyhow::Result<()> {
    let settings =
        settings.ok_or_else(|| anyhow::anyhow!("DATABASE_URL and AMQP_URL are needed; see worker --help"))?;
    let application = Application::build(&settings).await?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));
    shared::shutdown::signalled().await?;
    stop.cancel();
    running.await??;
    Ok(())
}
