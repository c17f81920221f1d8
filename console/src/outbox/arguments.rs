//! The arguments of `oncehook outbox`.

use clap::{Args, Subcommand, ValueEnum};
use shared::db::outbox::rows::Show;
use shared::db::outbox::steer::Steer;

use super::steer::Chosen;
use crate::steering::Consent;

/// What can be done with effects in the outbox.
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// List effects, the last planned first; pending ones in the order in which they are due.
    Ls(ListArgs),
    /// Send effects now, in the same form and under the same key: some by their numbers, or many by a filter.
    ///
    /// Of an ambiguous one nobody knows whether it was sent: the peer may see it twice, and can tell by its key.
    Resend(SteerArgs),
    /// Do not send effects that wait, until somebody says resend.
    Hold(SteerArgs),
    /// Give effects up: they are never sent, unless somebody says resend.
    Cancel(SteerArgs),
    /// How each destination does: what waits for it, its breaker, and who has paused it. Exit code 3 when one fails, is
    /// not reached, or is paused.
    Destinations,
    /// Begin no sends of an effect, as while its server moves: they wait and keep their attempts, until somebody says resume.
    Pause(PauseArgs),
    /// Send a paused effect's mails or calls again: what is due goes at once.
    Resume {
        /// The configured effect.
        effect: String,
    },
}

/// The arguments of `outbox pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The configured effect, as `destinations` names it.
    pub(crate) effect: String,
    /// Why, for who wonders later.
    #[arg(long)]
    pub(crate) because: String,
    /// Who pauses it, unless it is the terminal's user.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

/// Which effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Held or failed: a person decides.
    Attention,
    /// Their sending ended without a word, once or more.
    Ambiguous,
    /// To be sent, or to be tried again.
    Pending,
    /// Tried before, in vain, and to be tried again.
    Failing,
    /// Held back.
    Held,
    /// Given up after too many attempts, or refused for good.
    Failed,
    /// Given up by a person.
    Cancelled,
}

/// The arguments of `outbox ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Which ones; if it is not given: what needs a person, and of one webhook, all.
    #[arg(long, value_enum)]
    pub(crate) state: Option<Listed>,
    /// Those of one webhook, by its id.
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    pub(crate) webhook: Option<String>,
    /// Those of one configured effect.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// The most effects on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// The next page: what the one before said.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<i64>,
}

/// What to act on, and who agreed.
#[derive(Debug, Args)]
pub(crate) struct SteerArgs {
    /// The numbers of the effects, as `ls` shows them.
    #[arg(conflicts_with_all = ["state", "effect", "all"])]
    ids: Vec<i64>,
    /// Those in a state; if it is not given: what waits for `hold`, else what needs a person.
    #[arg(long, value_enum)]
    state: Option<Listed>,
    /// Those of one configured effect.
    #[arg(long)]
    effect: Option<String>,
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

impl SteerArgs {
    /// What to act on. A filter alone needs somebody to agree; no filter needs `--all`.
    pub(crate) fn chosen(self, steer: Steer) -> anyhow::Result<(Chosen, Consent)> {
        let Self { mut ids, state, effect, all, yes, .. } = self;
        if !ids.is_empty() {
            ids.sort_unstable();
            ids.dedup();
            return Ok((Chosen::Named(ids), Consent::Given));
        }
        anyhow::ensure!(
            all || state.is_some() || effect.is_some(),
            "name effects by their numbers, give a filter such as --state held, or say --all"
        );
        let consent = if all || yes { Consent::Given } else { Consent::Needed };
        let by_default = if steer == Steer::Hold { Listed::Pending } else { Listed::Attention };
        Ok((Chosen::Matching { show: state.unwrap_or(by_default).show(), effect }, consent))
    }
}

impl Listed {
    pub(crate) fn show(self) -> Show {
        match self {
            Self::Attention => Show::Attention,
            Self::Ambiguous => Show::Ambiguous,
            Self::Pending => Show::Pending,
            Self::Failing => Show::Failing,
            Self::Held => Show::Held,
            Self::Failed => Show::Failed,
            Self::Cancelled => Show::Cancelled,
        }
    }
}
