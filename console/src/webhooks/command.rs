//! The arguments of `oncehook webhooks`, and how its results are printed.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use shared::db::processed_webhooks::{Status, WebhookKey};
use time::OffsetDateTime;

use super::{list, show as story};
use crate::connect;
use crate::output::{Output, show};
use crate::parked::list::After;
use crate::settings::Settings;
use crate::steering::moment;

/// What can be asked about webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// List processed webhooks, the last processed first. What is parked: `oncehook parked ls`.
    Ls(ListArgs),
    /// Tell all that is known of one: what became of it and when, its attempts, its effects, its headers and its body.
    Show {
        /// The source that sent it.
        source: String,
        /// Its id.
        id: String,
        /// Write the body to standard output, byte for byte, and nothing else.
        #[arg(long)]
        raw: bool,
    },
}

/// The arguments of `webhooks ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those with one id; sources may share it.
    #[arg(long, conflicts_with_all = ["since", "until", "after"])]
    pub(super) id: Option<String>,
    /// Those of one source.
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// Those of one topic.
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Those that were processed in one way.
    #[arg(long, value_enum)]
    pub(super) status: Option<Status>,
    /// Those that were processed then or later: a time such as 2026-11-23T17:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<OffsetDateTime>,
    /// Those that were processed before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<OffsetDateTime>,
    /// The most webhooks on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) limit: u32,
    /// The next page: what the one before said.
    #[arg(long)]
    pub(super) after: Option<After>,
}

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: WebhooksCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let client = connect::database(settings).await?;
    match command {
        WebhooksCommand::Ls(arguments) => show(&list::list(&client, &arguments).await?, output, out)?,
        WebhooksCommand::Show { source, id, raw } => {
            let key = WebhookKey { source, webhook_id: id };
            if raw {
                out.write_all(&story::raw(&client, &key).await?)?;
            } else {
                show(&story::details(&client, &key).await?, output, out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
