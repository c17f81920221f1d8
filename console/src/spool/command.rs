//! The arguments of `oncehook spool`, and how its results are printed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use shared::config::Config;

use super::drain::Drain;
use super::files;
use crate::output::{Output, show};
use crate::settings::Settings;
use crate::steering::{Outlet, Pace, Progress};

/// What can be done with a spool.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// List the files that wait to be published, and the corrupt ones.
    Ls(SpoolArgs),
    /// Read every file and check it. Exit code 3 when one is damaged.
    Verify(SpoolArgs),
    /// Publish what an ingest left behind that will not come back, such as the volume of a removed replica.
    ///
    /// A file goes when all of its webhooks are confirmed. What a live ingest uses is left to it. Exit code 1 when not
    /// all could be published, 3 when a file is damaged and was moved to corrupt/ after its whole webhooks were
    /// published.
    Drain(DrainArgs),
}

/// Where the spool is.
#[derive(Debug, Args)]
pub(crate) struct SpoolArgs {
    /// The spool's directory; `spool.directory` of the configuration if it is not given.
    #[arg(long, env = "SPOOL_DIR")]
    dir: Option<PathBuf>,
}

/// The arguments of `spool drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    spool: SpoolArgs,
    /// Webhooks a second, 0 for no limit; `spool.drain_per_second` of the configuration if it is not given.
    #[arg(long)]
    rate: Option<u32>,
}

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: SpoolCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    match command {
        SpoolCommand::Ls(spool) => {
            show(&files::list(&spool.root(settings)?)?, output, out)?;
            Ok(ExitCode::SUCCESS)
        }
        SpoolCommand::Verify(spool) => {
            let verified = files::verify(&spool.root(settings)?)?;
            show(&verified, output, out)?;
            Ok(if verified.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) })
        }
        SpoolCommand::Drain(DrainArgs { spool, rate }) => {
            let root = spool.root(settings)?;
            let config = Config::load(&settings.config)?;
            let outlet = Outlet::open(settings, &config.queue).await?;
            let pace = Pace::new(rate.unwrap_or(config.spool.drain_per_second));
            let progress = Progress::counting(0, "files");
            let drained = Drain { outlet: &outlet, pace, progress: &progress }.run(&root).await;
            drop(progress);
            outlet.close().await?;
            let drained = drained?;
            show(&drained, output, out)?;
            Ok(drained.exit_code())
        }
    }
}

impl SpoolArgs {
    fn root(self, settings: &Settings) -> anyhow::Result<PathBuf> {
        let root = match self.dir {
            Some(directory) => directory,
            None => Config::load(&settings.config)?.spool.directory,
        };
        anyhow::ensure!(root.is_dir(), "there is no directory {}: is the spool on this machine?", root.display());
        Ok(root)
    }
}
