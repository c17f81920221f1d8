//! All faults, by number. Each is set up before its run, injected under load, and healed before it returns.

mod broker;
mod clocks;
mod copies;
mod disks;
mod kills;
mod mails;
mod network;
mod poison;
mod postgres;
mod storm;
mod two;
mod workers;

use std::time::Instant;

use futures_util::future::LocalBoxFuture;

use crate::setup::Setup;
use crate::world::World;

/// One way to break things.
pub(crate) struct Fault {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) cost: Cost,
    pub(crate) answers: Answers,
    pub(crate) doubts: Doubts,
    pub(crate) setup: fn(&mut Setup, &mut fastrand::Rng),
    pub(crate) inject: for<'w> fn(&'w World, &'w mut fastrand::Rng) -> Injecting<'w>,
}

/// The injection of a fault; done when it is healed.
pub(crate) type Injecting<'w> = LocalBoxFuture<'w, anyhow::Result<Injected>>;

/// How long a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Under half a minute.
    Cheap,
    /// A minute or more.
    Slow,
}

/// What the provider may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Every delivery is answered 2xx.
    Always2xx,
    /// Some deliveries are not; the provider sends those again.
    In2xxAtLast,
}

/// How many sends may be in doubt at the end (ambiguous, held or failed), beyond those that the flaky service is the
/// cause of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubts {
    /// The fault is not in their way; a slow machine may be.
    Hardly,
    /// It ends or freezes who sends or who writes down what was sent.
    Some,
    /// It is about nothing else.
    Any,
}

impl Doubts {
    /// Percent of all sends.
    pub(crate) fn percent(self) -> usize {
        match self {
            Self::Hardly => 3,
            Self::Some => 50,
            Self::Any => 100,
        }
    }
}

/// What a queue held that the fault deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destroyed {
    /// Webhooks accepted before this may be lost.
    pub(crate) at: Instant,
    /// So many, at most.
    pub(crate) at_most: usize,
}

/// What the injection did; it fails if the fault did not come about.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    pub(crate) destroyed: Option<Destroyed>,
    /// What came about, for a person.
    pub(crate) note: String,
}

impl Injected {
    fn noted(note: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self { destroyed: None, note: note.into() })
    }
}

/// The beginnings of ids that a worker cannot process, and may park.
pub(crate) const POISON: [&str; 3] = [poison::PANIC, poison::ABORT, poison::EXHAUST];

/// The fault whose webhooks end their workers; in no other does a process end by itself.
pub(crate) const POISONED: u8 = poison::SWALLOWED.number;

/// The list.
pub(crate) const ALL: [Fault; 26] = [
    kills::WORKER,
    kills::INGEST_BEFORE_ANSWER,
    kills::INGEST_IN_SPOOL,
    broker::KILLED,
    broker::FROZEN,
    broker::RESTARTED,
    broker::MEMORY_ALARM,
    broker::DISK_ALARM,
    broker::QUEUE_DELETED,
    broker::QUEUE_FULL,
    network::BLACK_HOLE,
    postgres::COMMIT_LOST,
    network::CUT,
    postgres::KILLED,
    postgres::AWAY,
    workers::FROZEN,
    disks::SPOOL_FULL,
    disks::POSTGRES_FULL,
    clocks::OFF,
    mails::FAILING,
    copies::CONCURRENT,
    poison::SWALLOWED,
    disks::FLIPPED_BIT,
    workers::ROLLED,
    storm::CONNECTIONS,
    two::AT_ONCE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_once_in_order_under_a_name_of_its_own() {
        assert!(ALL.iter().map(|fault| fault.number).eq(1..=26));
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
