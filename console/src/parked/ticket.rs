//! Whether a parked webhook may go back to the queue, and as what. Pure: decided from its row.
//!
//! Time spent parked does not count against a webhook's age: whoever claims its id while it is parked resolves its
//! row, and a claim is not purged while its id is parked. So what was young enough when it was parked still is.
//! What was not, what came with another body, and what could not be read is refused, until a person says in so many
//! words that it is right.

use std::collections::BTreeMap;

use shared::config::Config;
use shared::db::parked_webhooks::ParkReason;
use shared::db::parked_webhooks::rows::{ParkedReplay, ParkedRow};
use shared::message::{REPLAY_MARK, Replay, ReplayMode, Steering};
use shared::name::Name;
use time::{Duration, OffsetDateTime};

/// What the runs of changed bodies begin with; a person's runs do not.
pub(crate) const CHANGED_BODY_RUN: &str = "changed-";
/// Hexadecimal digits of a body's SHA-256 that name its run.
const CHANGED_BODY_DIGITS: usize = 40;

/// What a person says is right, having looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Accept {
    /// It was older than ids are kept when it was parked, and was not processed before. (If it was, it runs again;
    /// stock and mails have keys of their own.)
    TooOld,
    /// Its id was processed with another body, and this body is to run, too: as a replay of the first.
    ChangedBody,
    /// Its envelope could not be read, and what `show` tells of it is right.
    Unreadable,
}

/// Why a webhook does not go back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "it was older than ids are kept when it was parked, so whether it was processed before cannot be told; if you \
         know that it was not, say --accept too-old"
    )]
    TooOld,
    #[error(
        "its id was processed with another body, so it would be the same duplicate again; discard it, or, to run this \
         body, too, say --accept changed-body"
    )]
    ChangedBody,
    #[error(
        "its envelope could not be read, so what is known of it may be wrong; look at it, then say --accept unreadable, \
         or discard it and have the provider send it again"
    )]
    Unreadable,
    #[error(
        "its envelope could not be read and too little of it was saved; save the body (show --raw), discard it, and \
         have the provider send it again"
    )]
    TooLittleSaved,
    #[error("its source is not in the configuration, so no route would take it")]
    UnknownSource,
    #[error("it is a replay that came again with another body, which cannot be; discard it")]
    ChangedReplay,
    #[error("it does not fit into a message; save the body (show --raw) and discard it")]
    Unsendable,
}

/// What decisions depend on.
pub(crate) struct Rules {
    /// Each source's provider.
    sources: BTreeMap<Name, Name>,
    /// How long ids are kept.
    retention: Duration,
    accepted: Vec<Accept>,
}

/// As what a webhook goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) source: Name,
    pub(crate) provider: Name,
    pub(crate) id: String,
    pub(crate) steering: Steering,
}

impl Rules {
    pub(crate) fn new(config: &Config, accepted: Vec<Accept>) -> Self {
        let sources = config.sources.iter().map(|(name, source)| (name.clone(), source.provider.clone())).collect();
        Self { sources, retention: Duration::days(config.retention.processed_days.into()), accepted }
    }

    /// As what a webhook goes back to the queue, sent at `at`.
    pub(crate) fn judge(&self, row: &ParkedRow, at: OffsetDateTime) -> Result<Ticket, Refusal> {
        if row.reason == ParkReason::Unreadable {
            self.require(Accept::Unreadable, Refusal::Unreadable)?;
            self.check_saved(row)?;
        }
        if row.reason == ParkReason::TooOld || row.parked_at - row.received_at > self.retention {
            self.require(Accept::TooOld, Refusal::TooOld)?;
        }
        let source = Name::try_from(row.key.source.as_str()).ok().filter(|name| self.sources.contains_key(name));
        let source = source.ok_or(Refusal::UnknownSource)?;
        let provider = Name::try_from(row.provider.as_str()).map_err(|_no_name| Refusal::Unsendable)?;
        let replay = self.replay(row)?;
        let id = replay.as_ref().map_or_else(|| row.key.webhook_id.clone(), Replay::id);
        Ok(Ticket { source, provider, id, steering: Steering { at, replay } })
    }

    /// The replay as which it runs, if as one.
    fn replay(&self, row: &ParkedRow) -> Result<Option<Replay>, Refusal> {
        let has_changed = row.reason == ParkReason::ChangedBody;
        match &row.replay {
            Some(_) if has_changed => Err(Refusal::ChangedReplay),
            Some(parked) => {
                let replay = again(parked).filter(|replay| replay.id() == row.key.webhook_id);
                replay.map(Some).ok_or(Refusal::Unsendable)
            }
            None if row.key.webhook_id.starts_with(REPLAY_MARK) => Err(Refusal::TooLittleSaved),
            None if has_changed => {
                self.require(Accept::ChangedBody, Refusal::ChangedBody)?;
                changed_body(row).map(Some).ok_or(Refusal::Unsendable)
            }
            None => Ok(None),
        }
    }

    fn require(&self, accept: Accept, otherwise: Refusal) -> Result<(), Refusal> {
        if self.accepted.contains(&accept) { Ok(()) } else { Err(otherwise) }
    }

    /// What could be read of an unreadable envelope must at least agree with the configuration.
    fn check_saved(&self, row: &ParkedRow) -> Result<(), Refusal> {
        let provider = self.sources.get(row.key.source.as_str());
        let agrees = provider.is_some_and(|provider| provider.as_str() == row.provider) && !row.topic.is_empty();
        if agrees { Ok(()) } else { Err(Refusal::TooLittleSaved) }
    }
}

/// The replay that was parked.
fn again(parked: &ParkedReplay) -> Option<Replay> {
    let run = Name::try_from(parked.run.as_str()).ok()?;
    Some(Replay { of: parked.of.clone(), run, mode: ReplayMode::from_text(&parked.mode)? })
}

/// A changed body runs as a replay of the first, in a run that is named after it: the same body runs once, however
/// often this is said.
fn changed_body(row: &ParkedRow) -> Option<Replay> {
    let digits = row.body_sha256.get(..CHANGED_BODY_DIGITS)?;
    let run = Name::try_from(format!("{CHANGED_BODY_RUN}{digits}")).ok()?;
    Some(Replay { of: row.key.webhook_id.clone(), run, mode: ReplayMode::FillIn })
}
