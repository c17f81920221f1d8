//! The arguments of `oncehook parked`.

use clap::{Args, Subcommand, ValueEnum};
use shared::db::parked_webhooks::ParkReason;
use shared::db::parked_webhooks::rows::{ParkState, ParkedFilter, Standing};
use shared::db::processed_webhooks::WebhookKey;
use time::OffsetDateTime;

use super::list::After;
use super::selection::Selection;
use super::ticket::Accept;
use crate::steering::{Consent, DEFAULT_RATE, moment};

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
    pub(crate) filter: FilterArgs,
    /// All that match the filter, or all there are without one. Nobody is asked.
    #[arg(long)]
    all: bool,
    /// Agree, where the terminal would be asked.
    #[arg(long)]
    yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The arguments of `parked ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// In which state.
    #[arg(long, value_enum, default_value_t = ListedState::Open)]
    pub(crate) state: ListedState,
    /// The most webhooks on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// The next page: what the one before said.
    #[arg(long)]
    pub(crate) after: Option<After>,
}

/// The states that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListedState {
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
    pub(crate) target: TargetArgs,
    /// In which state.
    #[arg(long, value_enum, default_value_t = RedrivenState::Parked)]
    pub(crate) state: RedrivenState,
    /// Webhooks a second; 0 for no limit.
    #[arg(long, default_value_t = DEFAULT_RATE)]
    pub(crate) rate: u32,
    /// Redrive what is refused otherwise, having looked at it; may be given more than once.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) accept: Vec<Accept>,
}

/// The states that can be redriven from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RedrivenState {
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
    pub(crate) target: TargetArgs,
    /// Why; kept beside the webhook.
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: String,
}

impl TargetArgs {
    /// What to act on. A filter alone needs somebody to agree; no filter needs `--all`.
    pub(crate) fn selection(&self, standing: Standing) -> anyhow::Result<(Selection, Consent)> {
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

    pub(crate) fn with(self, standing: Standing) -> ParkedFilter {
        let Self { of_source: source, reason, topic, since, until } = self;
        ParkedFilter { standing, source, reason, topic, since, until }
    }
}

impl ListedState {
    pub(crate) fn standing(self) -> Standing {
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
    pub(crate) fn standing(self) -> Standing {
        match self {
            Self::Parked => Standing::Waiting,
            Self::Redriving => Standing::In(ParkState::Redriving),
            Self::Discarded => Standing::In(ParkState::Discarded),
        }
    }
}
