//! Workers, run to death: a broker and a database in memory, seeded, that fail, forget and delay, and
//! workers that end at any step.
//!
//! What decides is the worker's own code: the batcher, [`crate::lane`], [`crate::course`], the
//! splitter, the ladder, the rules. Around it, words get lost, connections end, processes freeze and
//! die, COMMITs end in nobody knows what, and webhooks are as bad as webhooks can be ([`webhooks`]).
//! Then everything heals, and the law must hold: [`world::World::law`].

mod broker;
mod database;
mod hand;
mod statements;
mod webhooks;
mod work;
mod world;

use testing::simulation::{Life, Log, find, hold};

use self::world::World;

/// What is built wrong on purpose, to see that the law finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// The claims are committed by themselves, before the effects.
    ClaimedFirst,
    /// A batch is acknowledged before its COMMIT.
    AckedEarly,
    /// A batch is acknowledged in one word although a delivery before it is still being moved.
    AckedUpToWhileMoving,
    /// A delivery is acknowledged before its move to another queue is confirmed.
    MovesAckedEarly,
    /// What moves to the ladder forgets its failed attempts.
    AttemptsLost,
    /// A suspect goes back to the work queue, where its deliveries are counted from 0.
    SuspectsReturned,
    /// A webhook is parked without a look at who claims it at the same time.
    ParkedUnclaimed,
    /// Stock is read without a lock, and written back.
    StockUnlocked,
}

fn live(seed: u64, bug: Option<Bug>, log: Log) -> Life {
    let mut world = World::new(seed, bug, log);
    let broken = world.live().err();
    Life { log: world.log, broken }
}

/// What the lives must have come to, among other things.
const WORST_MOMENTS: [&str; 17] = [
    "a COMMIT after whoever waited for it is gone",
    "a COMMIT whose answer is lost",
    "a batch is halved",
    "a batch that takes too long",
    "a connection ends",
    "a dead letter",
    "a duplicate that fails",
    "a hop from the ladder is done twice",
    "a move that is not confirmed",
    "a parked webhook is resolved",
    "a process ends",
    "a session that idled is ended",
    "a webhook that always takes too long",
    "a worker learns that its connection is gone",
    "the broker gives up a connection",
    "the database goes away",
    "waits for another transaction",
];

#[test]
fn every_webhook_ends_once_wherever_workers_end() {
    let test = "simulation::every_webhook_ends_once_wherever_workers_end";
    let Some(lived) = hold("worker", test, 0..2_200, |seed, log| live(seed, None, log)) else { return };
    lived.assert_seen(1_000_000, &WORST_MOMENTS);
}

fn found(bug: Bug, law: &str) {
    find(bug, law, 0..30_000, |seed, bug| live(seed, Some(bug), Log::default()));
}

#[test]
fn every_planted_bug_is_found() {
    found(Bug::ClaimedFirst, "its effects did not take place");
    found(Bug::AckedEarly, "neither committed nor moved");
    found(Bug::AckedUpToWhileMoving, "neither committed nor moved");
    found(Bug::MovesAckedEarly, "neither committed nor moved");
    found(Bug::AttemptsLost, "still under way");
    found(Bug::SuspectsReturned, "still under way");
    found(Bug::ParkedUnclaimed, "processed and parked");
    found(Bug::StockUnlocked, "inventory");
}
