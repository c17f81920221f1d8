//! The configuration that verdicts depend on.

use std::collections::{BTreeMap, HashMap};
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
    /// For how long a webhook of each source may be on its way: beyond it, its id may be forgotten, and it is parked. Time
    /// spent parked does not count.
    pub(crate) on_its_way: BTreeMap<Name, Duration>,
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
            on_its_way: config.on_its_way(&catalogue),
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
            None => self.objection_to_source_or_age(&arrival.message),
        }
    }

    fn objection_to_source_or_age(&self, message: &Message) -> Option<Trouble> {
        let Some(longest) = self.on_its_way.get(&message.source) else {
            // Somebody configured it for ingest and not yet here: its routes are unknown, so it must not pass for skipped.
            let error = format!("the source {} is not in this worker's configuration", message.source);
            return Some(Trouble::Retry(error));
        };
        if OffsetDateTime::now_utc() - message.under_way_since() <= *longest {
            return None;
        }
        let hours = longest.as_secs() / 3600;
        let detail = format!(
            "received more than {hours} h ago: its id may have been forgotten, so a duplicate could not be told"
        );
        Some(Trouble::Park(ParkReason::TooOld, detail))
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
