//! The arguments of `oncehook top`, and its loop.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use shared::config::Config;

use super::screen::Screen;
use super::snapshot::Watch;
use crate::output::{Output, show};
use crate::settings::Settings;

const INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Look once and end, as without a terminal or with --output json.
    #[arg(long)]
    once: bool,
}

/// Looks, once or until interrupted.
pub(crate) async fn run(
    arguments: &TopArgs,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(&settings.config)?;
    let mut watch = Watch::new(settings, config).context("cannot ask for metrics")?;
    if arguments.once || output == Output::Json || !std::io::stdout().is_terminal() {
        // What flows is what is counted between two looks.
        if watch.begin().await {
            tokio::time::sleep(INTERVAL).await;
        }
        let snapshot = watch.look().await;
        show(&snapshot, output, out)?;
        return Ok(if snapshot.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
    }
    let interrupted = std::pin::pin!(shared::shutdown::signalled());
    let watching = std::pin::pin!(live(&mut watch, out));
    tokio::select! {
        stopped = interrupted => stopped.context("cannot listen to signals")?,
        failed = watching => failed?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws until the terminal is gone.
async fn live(watch: &mut Watch<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let mut screen = Screen::enter(out).context("cannot draw on the terminal")?;
    loop {
        let snapshot = watch.look().await;
        screen.draw(&snapshot).context("cannot draw on the terminal")?;
        tokio::time::sleep(INTERVAL).await;
    }
}
