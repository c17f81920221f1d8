//! The arguments of `oncehook parked`, and how its results are printed.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use shared::config::Config;
use shared::db::parked_webhooks::ParkReason;
use shared::db::parked_webhooks::rows::{ParkState, ParkedFilter, Standing};
use shared::db::processed_webhooks::WebhookKey;
use time::OffsetDateTime;

use super::list::After;
use super::redrive::Redrive;
use super::selection::Selection;
use super::ticket::{Accept, Rules};
use super::{discard, list, redrive, show as details};
use crate::connect;
use crate::output::{Output, show};
use crate::settings::Settings;
use crate::steering::{Consent, Outlet, Pace, Progress, Report, moment};

/// What can be done with parked webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// List parked webhooks, the first parked first.
    Ls(ListArgs),
    /// Show one: why it is parked, every failed attempt, its headers and its body.
    Show {
        /// The source that sent it.
        source: String,
        /// Its id.
        id: String,
        /// Write the body to standard output, byte for byte, and nothing else.
        #[arg(long)]
        raw: bool,
    },
    /// Put parked webhooks back on the queue, after the cause was mended: one by its id, or many by a filter.
    ///
    /// Each runs once, however often it is redriven: the worker claims its id. A redrive that was cut off left
    /// nothing lost; the same command goes on a minute later. Exit code 1 when it stopped early, 3 when some were
    /// refused.
    Redrive(RedriveArgs),
    /// Give parked webhooks up: one by its id, or many by a filter. Nothing is deleted.
    Discard(DiscardArgs),
}

/// Which parked webhooks.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Those of one source.
    #[arg(long = "source", value_name = "NAME")]
    of_source: Option<String>,
    /// Those that are parked for one reason.
    #[arg(long, value_enum)]
    reason: Option<ParkReason>,
    /// Those of one topic.
    #[arg(long)]
    topic: Option<String>,
    /// Those that were first parked then or later: a time such as 2026-11-23T17:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Those that were first parked before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
}

/// What to act on, and who agreed.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// One webhook: the source that sent it.
    #[arg(requires = "id", conflicts_with_all = ["of_source", "reason", "topic", "since", "until", "all"])]
    source: Option<String>,
    /// One webhook: its id.
    id: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All that match the filter, or all there are without one. Nobody is asked.
    #[arg(long)]
    all: bool,
    /// Agree, where the terminal would be asked.
    #[arg(long)]
    yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `parked ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// In which state.
    #[arg(long, value_enum, default_value_t = ListedState::Open)]
    state: ListedState,
    /// The most webhooks on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// The next page: what the one before said.
    #[arg(long)]
    after: Option<After>,
}

/// The states that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListedState {
    /// Parked or redriving.
    Open,
    /// Waiting for a person.
    Parked,
    /// Handed to the queue, and not yet claimed.
    Redriving,
    /// Processed after all.
    Resolved,
    /// Given up.
    Discarded,
    /// All of them.
    Any,
}

/// The arguments of `parked redrive`.
#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// In which state.
    #[arg(long, value_enum, default_value_t = RedrivenState::Parked)]
    state: RedrivenState,
    /// Webhooks a second; 0 for no limit.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Redrive what is refused otherwise, having looked at it; may be given more than once.
    #[arg(long, value_enum, value_delimiter = ',')]
    accept: Vec<Accept>,
}

/// The states that can be redriven from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RedrivenState {
    /// Waiting for a person: parked, or left by a redrive that was cut off.
    Parked,
    /// Handed to the queue, and not yet claimed; for the case that the queue was lost.
    Redriving,
    /// Given up.
    Discarded,
}

/// The arguments of `parked discard`.
#[derive(Debug, Args)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Why; kept beside the webhook.
    #[arg(long, value_name = "TEXT")]
    because: String,
}

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: ParkedCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let report = match command {
        ParkedCommand::Ls(ListArgs { filter, state, limit, after }) => {
            let client = connect::database(settings).await?;
            let page = list::list(&client, &filter.with(state.standing()), after.as_ref(), limit).await?;
            show(&page, output, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        ParkedCommand::Show { source, id, raw } => {
            let client = connect::database(settings).await?;
            let key = WebhookKey { source, webhook_id: id };
            if raw {
                out.write_all(&details::raw(&client, &key).await?)?;
            } else {
                show(&details::details(&client, &key).await?, output, out)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        ParkedCommand::Redrive(arguments) => redrive(settings, arguments).await?,
        ParkedCommand::Discard(arguments) => discard(settings, arguments).await?,
    };
    show(&report, output, out)?;
    Ok(report.exit_code())
}

async fn redrive(settings: &Settings, arguments: RedriveArgs) -> anyhow::Result<Report> {
    let RedriveArgs { target, state, rate, accept } = arguments;
    let (selection, consent) = target.selection(state.standing())?;
    let config = Config::load(&settings.config)?;
    let rules = Rules::new(&config, accept);
    let client = connect::database(settings).await?;
    let survey = redrive::survey(&client, &selection, &rules).await?;
    if target.dry_run {
        return Ok(survey);
    }
    if survey.total() == 0 {
        return Ok(survey.into_done());
    }
    consent.obtain(&survey.question())?;
    let outlet = Outlet::open(settings, &config.queue).await?;
    let progress = Progress::of(survey.total());
    let redrive = Redrive {
        client: &client,
        rules: &rules,
        outlet: &outlet,
        pace: Pace::new(rate),
        progress: &|webhooks| progress.advance(webhooks),
    };
    let report = redrive.run(&selection).await;
    outlet.close().await?;
    report
}

async fn discard(settings: &Settings, arguments: DiscardArgs) -> anyhow::Result<Report> {
    let DiscardArgs { target, because } = arguments;
    anyhow::ensure!(!because.trim().is_empty(), "say --because of what");
    let (selection, consent) = target.selection(Standing::Waiting)?;
    let client = connect::database(settings).await?;
    let survey = discard::survey(&client, &selection).await?;
    if target.dry_run {
        return Ok(survey);
    }
    if survey.total() == 0 {
        return Ok(survey.into_done());
    }
    consent.obtain(&survey.question())?;
    discard::discard(&client, &selection, &because).await
}

impl TargetArgs {
    /// What to act on. A filter alone needs somebody to agree; no filter needs `--all`.
    fn selection(&self, standing: Standing) -> anyhow::Result<(Selection, Consent)> {
        if let (Some(source), Some(id)) = (&self.source, &self.id) {
            let key = WebhookKey { source: source.clone(), webhook_id: id.clone() };
            return Ok((Selection::One(key, standing), Consent::Given));
        }
        anyhow::ensure!(
            self.all || !self.filter.is_empty(),
            "name a webhook (SOURCE ID), give a filter such as --reason plan, or say --all"
        );
        let consent = if self.all || self.yes { Consent::Given } else { Consent::Needed };
        Ok((Selection::Matching(self.filter.clone().with(standing)), consent))
    }
}

impl FilterArgs {
    fn is_empty(&self) -> bool {
        let Self { of_source, reason, topic, since, until } = self;
        of_source.is_none() && reason.is_none() && topic.is_none() && since.is_none() && until.is_none()
    }

    fn with(self, standing: Standing) -> ParkedFilter {
        let Self { of_source: source, reason, topic, since, until } = self;
        ParkedFilter { standing, source, reason, topic, since, until }
    }
}

impl ListedState {
    fn standing(self) -> Standing {
        match self {
            Self::Open => Standing::Open,
            Self::Parked => Standing::Waiting,
            Self::Redriving => Standing::In(ParkState::Redriving),
            Self::Resolved => Standing::In(ParkState::Resolved),
            Self::Discarded => Standing::In(ParkState::Discarded),
            Self::Any => Standing::Any,
        }
    }
}

impl RedrivenState {
    fn standing(self) -> Standing {
        match self {
            Self::Parked => Standing::Waiting,
            Self::Redriving => Standing::In(ParkState::Redriving),
            Self::Discarded => Standing::In(ParkState::Discarded),
        }
    }
}
