//! The table `outbox` in memory: what lease, settle and expire do to a row.
//!
//! The dispatcher's simulation runs on it, and a conformance test (`worker/tests/it/outbox.rs`) shows
//! that Postgres does the same through `shared::db::outbox`. Time is whatever the caller says it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::config::AmbiguousPolicy;
use shared::db::outbox::{Lease, Settled, Settlement, Settling};

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Due at its next attempt.
    Pending,
    /// Leased.
    Sending,
    /// Accepted by the peer.
    Sent,
    /// Ambiguous; a person decides.
    Held,
    /// Given up; a person decides.
    Failed,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is unique by.
    pub dedupe_key: String,
    /// The configured effect.
    pub effect: String,
    /// What performs it.
    pub kind: String,
    /// What to do when a send's outcome is unknown.
    pub on_ambiguous: AmbiguousPolicy,
    /// Where it is.
    pub state: State,
    /// Whether a send's outcome was ever unknown.
    pub ambiguous: bool,
    /// How often a send was begun.
    pub attempts: i32,
    /// Raised by every lease.
    pub fence: i64,
    /// The end of its lease, while it is sending.
    pub lease_until: Option<Duration>,
    /// When that was first seen to have passed.
    pub overdue_since: Option<Duration>,
    /// Not to be sent before.
    pub next_attempt_at: Duration,
    /// Whether it came to an end.
    pub is_settled: bool,
    /// Why the last attempt did not succeed.
    pub last_error: Option<String>,
}

/// The table.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    /// The rows, by number.
    pub rows: BTreeMap<i64, Row>,
    /// Effects that a person has paused.
    pub paused: BTreeSet<String>,
    last_id: i64,
}

impl Outbox {
    /// Writes an effect down, unless its key is there; returns its number then.
    pub fn insert(
        &mut self,
        dedupe_key: &str,
        (effect, kind): (&str, &str),
        policy: AmbiguousPolicy,
        now: Duration,
    ) -> Option<i64> {
        if self.rows.values().any(|row| row.dedupe_key == dedupe_key) {
            return None;
        }
        self.last_id += 1;
        let row = Row {
            dedupe_key: dedupe_key.to_owned(),
            effect: effect.to_owned(),
            kind: kind.to_owned(),
            on_ambiguous: policy,
            state: State::Pending,
            ambiguous: false,
            attempts: 0,
            fence: 0,
            lease_until: None,
            overdue_since: None,
            next_attempt_at: now,
            is_settled: false,
            last_error: None,
        };
        self.rows.insert(self.last_id, row);
        Some(self.last_id)
    }

    /// The rows that may be leased, those that are due longest first.
    #[must_use]
    pub fn due(&self, kinds: &[&str], shut: &[&str], now: Duration) -> Vec<i64> {
        let is_open = |row: &&Row| !shut.contains(&row.effect.as_str());
        sorted(self.all_due(kinds, now).filter(|(_, row)| is_open(row)), |row| row.next_attempt_at)
    }

    /// The rows that may be leased to probe an effect's destination, those that were tried least first. (Postgres looks for
    /// them among a thousand.)
    #[must_use]
    pub fn probes(&self, kinds: &[&str], effect: &str, now: Duration) -> Vec<i64> {
        let due = self.all_due(kinds, now).filter(|(_, row)| row.effect == effect);
        sorted(due, |row| (row.attempts, row.next_attempt_at))
    }

    fn all_due(&self, kinds: &[&str], now: Duration) -> impl Iterator<Item = (i64, &Row)> {
        let is_due = move |row: &Row| {
            let is_pending = row.state == State::Pending && row.next_attempt_at <= now;
            is_pending && kinds.contains(&row.kind.as_str()) && !self.paused.contains(&row.effect)
        };
        self.rows.iter().map(|(id, row)| (*id, row)).filter(move |(_, row)| is_due(row))
    }

    /// Whether any row of an effect waits or is being sent.
    #[must_use]
    pub fn is_under_way(&self, effect: &str) -> bool {
        let is_under_way = |row: &Row| matches!(row.state, State::Pending | State::Sending);
        self.rows.values().any(|row| row.effect == effect && is_under_way(row))
    }

    /// Leases one row.
    ///
    /// # Panics
    /// When there is none of this number.
    pub fn lease(&mut self, id: i64, lease: Duration, now: Duration) -> Lease {
        let row = self.rows.get_mut(&id).expect("the row is there");
        (row.state, row.attempts, row.fence) = (State::Sending, row.attempts + 1, row.fence + 1);
        row.lease_until = Some(now + lease);
        Lease {
            id,
            dedupe_key: row.dedupe_key.clone(),
            effect: row.effect.clone(),
            kind: row.kind.clone(),
            webhook_id: None,
            intent: "{}".to_owned(),
            on_ambiguous: row.on_ambiguous,
            attempts: row.attempts,
            fence: row.fence,
            traceparent: None,
        }
    }

    /// Settles an attempt, if its lease still holds.
    pub fn settle(&mut self, id: i64, fence: i64, settlement: &Settlement, now: Duration) -> Settled {
        match self.rows.get_mut(&id).filter(|row| row.state == State::Sending && row.fence == fence) {
            Some(row) => {
                row.settle(settlement, now);
                Settled::Done
            }
            None => Settled::LeaseLost,
        }
    }

    /// Whether an attempt was settled by a try that nobody heard of.
    ///
    /// # Panics
    /// When there is no row of this number.
    #[must_use]
    pub fn was_settled(&self, settling: &Settling) -> bool {
        let row = &self.rows[&settling.id];
        let (is_its, mut after) = (row.fence == settling.fence, row.clone());
        after.settle(&settling.settlement, Duration::ZERO);
        let stands = (row.state, &row.last_error) == (after.state, &after.last_error);
        !(is_its && row.state == State::Sending) && (!row.ambiguous || (is_its && stands))
    }

    /// Takes up rows whose lease was seen to have run out so long ago; returns their numbers and where they are now.
    pub fn expire(&mut self, max_attempts: i32, grace: Duration, delay: Duration, now: Duration) -> Vec<(i64, State)> {
        let mut expired = Vec::new();
        for (id, row) in &mut self.rows {
            if row.lease_until.is_none_or(|until| until >= now) {
                continue;
            }
            if *row.overdue_since.get_or_insert(now) + grace > now {
                continue;
            }
            let holds = row.on_ambiguous == AmbiguousPolicy::Hold || row.attempts >= max_attempts;
            row.state = if holds { State::Held } else { State::Pending };
            (row.ambiguous, row.lease_until, row.overdue_since) = (true, None, None);
            row.next_attempt_at = now + delay;
            row.last_error = Some("the worker that was sending it ended without a word".to_owned());
            expired.push((*id, row.state));
        }
        expired
    }
}

impl Row {
    /// What a settlement does to a row, whoever settles it.
    pub fn settle(&mut self, settlement: &Settlement, now: Duration) {
        let (state, ambiguous, error, after) = match settlement {
            Settlement::Sent => (State::Sent, false, None, Duration::ZERO),
            Settlement::Retry { after, error } => (State::Pending, false, Some(error), *after),
            Settlement::Failed { error } => (State::Failed, false, Some(error), Duration::ZERO),
            Settlement::Ambiguous { policy: AmbiguousPolicy::Resend, after, error } => {
                (State::Pending, true, Some(error), *after)
            }
            Settlement::Ambiguous { policy: AmbiguousPolicy::Hold, error, .. } => {
                (State::Held, true, Some(error), Duration::ZERO)
            }
        };
        self.state = state;
        self.ambiguous |= ambiguous;
        self.lease_until = None;
        self.overdue_since = None;
        self.last_error = error.cloned();
        self.next_attempt_at = now + after;
        self.is_settled = matches!(state, State::Sent | State::Failed);
    }
}

fn sorted<'r, K: Ord>(rows: impl Iterator<Item = (i64, &'r Row)>, by: impl Fn(&Row) -> K) -> Vec<i64> {
    let mut rows: Vec<(K, i64)> = rows.map(|(id, row)| (by(row), id)).collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, id)| id).collect()
}
