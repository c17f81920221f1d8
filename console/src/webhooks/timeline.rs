//! The life of a webhook, in the order in which it happened: told alike on its page, by the API and in the terminal.

use serde::Serialize;
use shared::db::outbox::attempts::AttemptRow;
use shared::db::outbox::rows::OutboxRow;
use shared::db::parked_webhooks::rows::{ParkState, ParkedRow};
use shared::db::processed_webhooks::search::FoundRow;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Known;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Moment {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) what: String,
    /// `good`, `warn`, `bad` or empty.
    pub(crate) tone: &'static str,
}

/// How often a webhook came after the first time.
pub(crate) fn again(duplicates: &i32) -> String {
    match *duplicates {
        1 => "again once".to_owned(),
        many => format!("again {many} times"),
    }
}

/// All that happened, the first first. Of duplicates only the last has left its time.
pub(crate) fn timeline(known: &Known) -> Vec<Moment> {
    let Known { processed, parked, retrying: _, failures, replays, effects, attempts } = known;
    let mut life = Life(Vec::new());
    for failure in failures {
        let fate = if failure.outcome == "park" { "parked" } else { "to be tried again" };
        let what = format!("attempt {} failed, {fate}: {}", failure.attempt + 1, failure.error);
        life.add(failure.occurred_at, what, "bad");
    }
    match (parked, processed, failures.first().and_then(|failure| failure.received_at)) {
        (Some(row), _, _) => life.park(row, processed.as_ref()),
        (None, None, Some(received_at)) => life.receive(received_at),
        (None, _, _) => {}
    }
    if let Some(row) = processed {
        life.process(row);
    }
    if let Some(row) = parked {
        life.settle(row);
    }
    for row in replays {
        let run = row.replay.as_ref().map_or("", |(_of, run)| run);
        life.add(row.processed_at, format!("replayed in the run {run}: {}", row.status.as_str()), "");
    }
    for row in effects {
        life.send(row, attempts.iter().filter(|attempt| attempt.outbox_id == row.id));
    }
    life.0.sort_by_key(|moment| moment.at);
    life.0
}

struct Life(Vec<Moment>);

impl Life {
    fn add(&mut self, at: OffsetDateTime, what: String, tone: &'static str) {
        self.0.push(Moment { at, what, tone });
    }

    fn receive(&mut self, at: OffsetDateTime) {
        self.add(at, "received and answered 2xx".to_owned(), "");
    }

    fn process(&mut self, row: &FoundRow) {
        self.receive(row.received_at);
        self.add(row.processed_at, format!("processed: {}", row.status.as_str()), "good");
        if let Some(at) = row.last_duplicate_at {
            let changed = match row.changed_bodies {
                0 => String::new(),
                changed => format!(", {changed} with another body"),
            };
            self.add(at, format!("arrived {}{changed}; counted, not repeated", again(&row.duplicates)), "");
        }
    }

    fn send<'a>(&mut self, row: &OutboxRow, attempts: impl Iterator<Item = &'a AttemptRow>) {
        let effect = &row.effect;
        self.add(row.created_at, format!("{effect} planned"), "");
        let mut is_told = false;
        for AttemptRow { attempt, outcome, error, at, .. } in attempts {
            is_told |= outcome == "failed";
            let what = match outcome.as_str() {
                "failed" => format!("{effect} failed: {error}"),
                "ambiguous" => format!("{effect} attempt {attempt} had no answer, it may have been sent: {error}"),
                "lost" => format!("{effect} attempt {attempt} may have been sent: {error}"),
                _ => format!("{effect} attempt {attempt} failed, to be sent again: {error}"),
            };
            self.add(*at, what, "bad");
        }
        let Some(at) = row.settled_at else { return };
        match row.state.as_str() {
            "failed" if is_told => {}
            "failed" => {
                let why = row.last_error.as_deref().unwrap_or_default();
                self.add(at, format!("{effect} failed: {why}"), "warn");
            }
            "sent" => self.add(at, format!("{effect} sent"), "good"),
            state => self.add(at, format!("{effect} {state}"), "warn"),
        }
    }

    fn park(&mut self, row: &ParkedRow, processed: Option<&FoundRow>) {
        // What was processed at last may be another copy than the one that was parked.
        if processed.is_none_or(|processed| processed.received_at != row.received_at) {
            self.receive(row.received_at);
        }
        self.add(row.parked_at, format!("parked: {}", row.reason), "warn");
        if let Some(at) = row.redriven_at {
            // Noted when the broker has confirmed it: a worker may have been through by then.
            let at = if row.state == ParkState::Resolved { at.min(row.changed_at) } else { at };
            self.add(at, "redriven: put back on the queue".to_owned(), "");
        }
    }

    fn settle(&mut self, row: &ParkedRow) {
        match row.state {
            ParkState::Discarded => {
                let why = row.discarded_because.as_deref().unwrap_or_default();
                self.add(row.changed_at, format!("discarded: {why}"), "warn");
            }
            ParkState::Resolved => self.add(row.changed_at, "resolved: it waits for nobody any more".to_owned(), ""),
            ParkState::Parked | ParkState::Redriving => {}
        }
    }
}
