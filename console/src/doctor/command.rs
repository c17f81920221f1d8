//! The arguments of `oncehook doctor`, and who looks at what.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use super::examination;
use super::report::Strictness;
use crate::output::{Output, show};
use crate::settings::Settings;

/// The arguments of `doctor`.
#[derive(Debug, Default, Args)]
pub(crate) struct DoctorArgs {
    /// Warnings count, too: exit code 3 when there are some.
    #[arg(long)]
    pub(super) strict: bool,
    /// The mail server, as a worker is told.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub(super) smtp_url: Option<SecretString>,
    /// The sender of all mails, as a worker is told.
    #[arg(long, env = "MAIL_FROM")]
    pub(super) mail_from: Option<String>,
    /// Who gets a mail when a webhook parks, as a worker is told.
    #[arg(long, env = "OPERATOR_EMAIL")]
    pub(super) operator_email: Option<String>,
    /// The spool's directory; `spool.directory` of the configuration if it is not given.
    #[arg(long, env = "SPOOL_DIR")]
    pub(super) spool_dir: Option<PathBuf>,
}

/// Looks at everything and prints what was found.
pub(crate) async fn run(
    arguments: DoctorArgs,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let strictness = if arguments.strict { Strictness::Strict } else { Strictness::Lenient };
    let report = examination::examine(settings, &arguments).await;
    show(&report, output, out)?;
    Ok(report.exit_code(strictness))
}
