//! The configuration that verdicts depend on.

use std::collections::HashMap;
use std::time::Duration;

use shared::config::{ChangedBody, Config, ReplayDefence, SourceConfig};
use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;
use shared::name::Name;
use shared::provider::Catalogue;
use time::OffsetDateTime;

use crate::batch::{Arrival, Defect, Outcome, Trouble};
use crate::bundles::Bundles;

/// What a pipeline goes by.
pub(crate) struct Rules {
    /// A webhook that is on its way for longer is parked: its id may be forgotten. Time spent parked does not count.
    pub(crate) retention: Duration,
    /// What each source says of duplicates with another body.
    pub(crate) changed_body: HashMap<Name, ChangedBody>,
    /// What each source says of a known body under a fresh id.
    pub(crate) replay_defence: HashMap<Name, ReplayDefence>,
    /// Bodies that hold several webhooks.
    pub(crate) bundles: Bundles,
    /// Who gets a mail when something parks.
    pub(crate) operator: Option<String>,
}

impl Rules {
    pub(crate) fn new(config: &Config, catalogue: Catalogue, operator: Option<String>) -> Self {
        let defence = |(name, source): (&Name, &SourceConfig)| {
            let provider = catalogue.get(source.provider.as_str())?;
            Some((name.clone(), config.replay_defence(name, provider)))
        };
        Self {
            retention: Duration::from_secs(u64::from(config.retention.processed_days) * 24 * 3600),
            changed_body: config.sources.iter().map(|(name, source)| (name.clone(), source.on_changed_body)).collect(),
            replay_defence: config.sources.iter().filter_map(defence).collect(),
            bundles: Bundles::new(catalogue),
            operator,
        }
    }

    /// What to do with a webhook if its body was processed under another id. That of a replay was, on purpose: a person
    /// sent it.
    pub(crate) fn defence(&self, message: &Message) -> ReplayDefence {
        if message.replay().is_some() {
            return ReplayDefence::Off;
        }
        self.replay_defence.get(&message.source).copied().unwrap_or(ReplayDefence::Off)
    }

    /// What stands against trying a webhook at all.
    pub(crate) fn objection(&self, arrival: &Arrival) -> Option<Trouble> {
        match &arrival.defect {
            Some(Defect::Unreadable(error)) => Some(Trouble::Park(ParkReason::Unreadable, error.to_string())),
            Some(Defect::DeadLettered) => Some(Trouble::Park(
                ParkReason::DeadLettered,
                "delivered too often without being settled: it may end whoever handles it".to_owned(),
            )),
            None if OffsetDateTime::now_utc() - arrival.message.under_way_since() > self.retention => {
                Some(Trouble::Park(
                    ParkReason::TooOld,
                    "received longer ago than ids are kept, so a duplicate could not be told".to_owned(),
                ))
            }
            // Somebody configured it for ingest and not yet here: its routes are unknown, so it must not pass for skipped.
            None if !self.changed_body.contains_key(&arrival.message.source) => Some(Trouble::Retry(format!(
                "the source {} is not in this worker's configuration",
                arrival.message.source
            ))),
            None => None,
        }
    }

    /// What is yet to be done about a webhook that left its transaction.
    pub(crate) fn afterthought(&self, message: &Message, outcome: Outcome) -> Option<Trouble> {
        let parks = || self.changed_body.get(&message.source) == Some(&ChangedBody::Park);
        match outcome {
            Outcome::Duplicate { changed_body: true } if parks() => {
                Some(Trouble::Park(ParkReason::ChangedBody, "its id was processed with another body".to_owned()))
            }
            Outcome::Completed | Outcome::Skipped | Outcome::Replay | Outcome::Duplicate { .. } => None,
        }
    }
}
