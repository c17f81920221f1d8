//! The `oncehook` command.

use std::process::ExitCode;

use clap::Parser;
use console::{Cli, run};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    shared::crypto::install();
    match run(cli, &mut std::io::stdout().lock()).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command line tells its user what went wrong")]
fn report(error: &anyhow::Error) {
    eprintln!("oncehook: {}", shared::error_chain::error_chain(error.as_ref()));
}
