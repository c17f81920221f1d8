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

/// What the injection did; it fails if the fault did not come about.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    /// Webhooks accepted before this may be lost: the fault destroyed the queue they were in.
    pub(crate) destroyed_at: Option<Instant>,
    /// What came about, for a person.
    pub(crate) note: String,
}

impl Injected {
    fn noted(note: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self { destroyed_at: None, note: note.into() })
    }
}

/// The beginnings of ids that a worker cannot process, and may park.
pub(crate) const POISON: [&str; 3] = [poison::PANIC, poison::ABORT, poison::EXHAUST];

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
