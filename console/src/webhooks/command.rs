//! The arguments of `oncehook webhooks`, and how its results are printed.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use shared::config::Config;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::retention::Purge;
use time::OffsetDateTime;

use super::entry::Standing;
use super::search::Wanted;
use super::walk::{Behind, Sieve};
use super::{list, show as story};
use crate::output::{Output, show};
use crate::parked::list::After;
use crate::replay::command::ReplayArgs;
use crate::settings::Settings;
use crate::steering::{Progress, moment};
use crate::{connect, replay};

/// What can be asked about webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Find webhooks by an id, a key such as an order's number, a text of the body or a filter, the newest first.
    Ls(ListArgs),
    /// Run processed webhooks again on purpose: `oncehook replay` by another name.
    Replay(ReplayArgs),
    /// Tell all that is known of one: what became of it and when, its attempts, its effects, its headers and its body.
    Show {
        /// The source that sent it; or, without an ID, an id or a key such as an order's number, if a single webhook has it.
        source: String,
        /// Its id.
        id: Option<String>,
        /// Write the body to standard output, byte for byte, and nothing else.
        #[arg(long)]
        raw: bool,
    },
}

/// The arguments of `webhooks ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// An id, or a key that the source takes out of bodies (sources.NAME.search_keys), such as an order's number: whole.
    /// Found wherever it is but in a queue or a spool: processed, parked, or on the retry ladder.
    #[arg(conflicts_with = "text")]
    query: Option<String>,
    /// Those whose body has this text, as it stands there. Bodies are read one by one: give a time or a source, too.
    #[arg(long)]
    text: Option<String>,
    /// Those of one source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Those of one topic.
    #[arg(long)]
    topic: Option<String>,
    /// Those that stand somewhere.
    #[arg(long, value_enum)]
    status: Option<Standing>,
    /// Those that arrived more than once.
    #[arg(long)]
    duplicated: bool,
    /// Those that were processed or parked then or later: a time such as 2026-11-23T17:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Those that were processed or parked before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// The most webhooks on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// The next page: what the one before said.
    #[arg(long)]
    after: Option<After>,
}

impl ListArgs {
    /// What is looked for, and how many of it.
    fn wanted(self) -> (Wanted, usize) {
        let Self { query, text, source, topic, status, duplicated, since, until, limit, after } = self;
        let sieve = Sieve { source, topic, status, duplicated, parked: false, since, until, text };
        let behind = after.map(|After(cursor)| Behind { at: cursor.parked_at, key: cursor.key });
        (Wanted { query, sieve, behind }, usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: WebhooksCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    match command {
        WebhooksCommand::Ls(arguments) => {
            let (config, client) = (Config::load(&settings.config)?, connect::database(settings).await?);
            let (wanted, limit) = arguments.wanted();
            let looking = list::list(&client, (&config, settings), &wanted, limit);
            let page = match wanted.sieve.text {
                Some(_) => Progress::during("reading bodies", looking).await?,
                None => looking.await?,
            };
            show(&page, output, out)?;
        }
        WebhooksCommand::Replay(arguments) => return replay::command::run(arguments, settings, output, out).await,
        WebhooksCommand::Show { source, id, raw } => {
            let (config, client) = (Config::load(&settings.config)?, connect::database(settings).await?);
            let days = Purge::Claims.days(&config.retention);
            let key = match id {
                Some(id) => WebhookKey { source, webhook_id: id },
                None => list::only(&client, &config, &source).await?,
            };
            if raw {
                out.write_all(&story::raw(&client, days, &key).await?)?;
            } else {
                show(&story::details(&client, days, &key).await?, output, out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
