//! The `ingest` command.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use ingest::{Application, Settings};

/// Receives webhooks, verifies them, and makes them durable before it acknowledges them.
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
    /// Ask the running ingest whether it is ready; the exit code tells.
    Healthcheck {
        /// The ingest's ops address.
        #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9090")]
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
    run(&cli.settings.context("AMQP_URL is needed; see ingest --help")?).await
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let application = Application::build(settings)?;
    let stop = async {
        let signalled = shared::shutdown::signalled().await;
        tracing::info!("stopping: answering what is in flight");
        signalled
    };
    application.run_until_stopped(stop).await?.context("cannot listen for signals")
}
