//! The life of a webhook, in the order in which it happened.

use serde::Serialize;
use time::OffsetDateTime;

use super::Known;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
    pub(super) what: String,
}

/// How often a webhook came after the first time.
pub(crate) fn again(duplicates: &i32) -> String {
    match *duplicates {
        1 => "again once".to_owned(),
        many => format!("again {many} times"),
    }
}

/// All that happened, the first first. Of duplicates only the last has left its time.
pub(crate) fn timeline(known: &Known) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |at, what: String| events.push(Event { at, what });
    if let Some(row) = &known.processed {
        add(row.received_at, "received".to_owned());
        add(row.processed_at, format!("processed: {}", row.status.as_str()));
        if let Some(at) = row.last_duplicate_at {
            add(at, format!("arrived {}, {} with another body", again(&row.duplicates), row.changed_bodies));
        }
    }
    if let Some(row) = &known.parked {
        if known.processed.as_ref().is_none_or(|processed| processed.received_at != row.received_at) {
            add(row.received_at, "received".to_owned());
        }
        add(row.parked_at, format!("parked: {}", row.reason));
        row.redriven_at.iter().for_each(|at| add(*at, "redriven: put back on the queue".to_owned()));
        if row.changed_at != row.parked_at {
            add(row.changed_at, row.state.as_str().to_owned());
        }
    }
    for failure in &known.failures {
        add(
            failure.occurred_at,
            format!("attempt {} failed ({}): {}", failure.attempt + 1, failure.outcome, failure.error),
        );
    }
    for effect in &known.effects {
        add(effect.created_at, format!("effect {} planned", effect.effect));
        effect.settled_at.iter().for_each(|at| add(*at, format!("effect {} {}", effect.effect, effect.state)));
    }
    for replay in &known.replays {
        let run = replay.replay.as_ref().map_or("", |(_, run)| run);
        add(replay.processed_at, format!("replayed in run {run}: {}", replay.status.as_str()));
    }
    events.sort_by_key(|event| event.at);
    events
}
