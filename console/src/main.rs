//! The `oncehook` command.

use std::process::ExitCode;

use clap::Parser;
use console::{Cli, run};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    shared::crypto::install();
    match traced(cli).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; the spans of what it sends are exported before it ends.
async fn traced(cli: Cli) -> anyhow::Result<ExitCode> {
    let traces = shared::traces::start("oncehook-console")?;
    let ran = run(cli, &mut std::io::stdout().lock()).await;
    traces.stop().await;
    ran
}

#[allow(clippy::print_stderr, reason = "a command line tells its user what went wrong")]
fn report(error: &anyhow::Error) {
    eprintln!("oncehook: {}", shared::error_chain::error_chain(error.as_ref()));
}
