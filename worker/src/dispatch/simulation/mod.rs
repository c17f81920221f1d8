//! Dispatchers, run to death: leases, sends and settlements of several workers on one outbox, which
//! freeze past their leases, crash anywhere, and speak with peers that lose their answers and go away.
//!
//! What decides are the dispatcher's own [`AttemptRules`](super::attempt::AttemptRules), [`leasing`](super::leasing),
//! steps of settling ([`Rows`](super::Rows)) and [`Destinations`](super::Destinations) with their breakers; the table is a
//! model ([`testing::outbox`]) that a conformance test holds to Postgres. The law: one row a dedupe key; a
//! row is sent once, or it is listed as ambiguous; one that is to be held is never sent twice; no
//! settlement counts under a lease that is over, and none is told so that is not; what is leased is performed; probes go one
//! at a time, and none where nothing waits; rows that always fail keep no fresh one waiting; every row comes to an end.

mod desk;
mod world;

use std::collections::BTreeMap;

use shared::config::AmbiguousPolicy;
use testing::outbox::{Row, State};
use testing::simulation::{Life, Log, find, hold};

use self::world::World;

/// What is built wrong on purpose, to see that the law finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// A settlement counts whatever lease it was made under.
    Unfenced,
    /// The effect is sent first, and the lease is committed with the settlement.
    SentBeforeLeased,
    /// A send whose answer is lost is simply tried again.
    AmbiguityForgotten,
    /// What expires is sent again, whatever its policy says.
    HeldIsResent,
    /// A key is written down each time that it is planned.
    PlannedTwice,
    /// A breaker that has opened lets no probe through.
    NeverProbed,
    /// What a probe is leased for is leased beside it, too.
    ProbedTwice,
    /// The probe is the row that is due longest.
    OldestProbed,
    /// Any attempt's end is taken for the probe's.
    AnyEndIsTheProbes,
    /// A breaker stays open when nothing waits any more.
    NeverClosed,
    /// What was leased before a lease failed is forgotten.
    LeasedAndDropped,
    /// A settlement whose answer was lost counts as a lease that was.
    LostAnswerIsLostLease,
}

/// One row a key, and what is true of each.
fn law(world: &World) -> Result<(), String> {
    let mut keys = BTreeMap::new();
    for (id, row) in &world.outbox.rows {
        if let Some(other) = keys.insert(row.dedupe_key.trim(), id) {
            return Err(format!("rows {other} and {id} have one key"));
        }
    }
    for (id, row) in &world.outbox.rows {
        let accepted = world.accepted.get(row.dedupe_key.trim()).copied().unwrap_or(0);
        law_of(row, accepted).map_err(|wrong| format!("row {id} {wrong}: {row:?}"))?;
    }
    Ok(())
}

fn law_of(row: &Row, accepted: u32) -> Result<(), &'static str> {
    match row.state {
        _ if accepted > 1 && !row.ambiguous => Err("was sent twice, and is not listed as ambiguous"),
        _ if accepted > 1 && row.on_ambiguous == AmbiguousPolicy::Hold => Err("is to be held, and was sent twice"),
        State::Sent if accepted == 0 => Err("is sent, and nobody has it"),
        State::Failed if accepted > 0 && !row.ambiguous => Err("is failed, and the peer has it"),
        State::Held if !row.ambiguous => Err("is held, and not ambiguous"),
        _ => Ok(()),
    }
}

fn live(seed: u64, bug: Option<Bug>, log: Log) -> Life {
    let mut world = World::new(seed, bug, log);
    let broken = world.live().and_then(|()| law(&world)).err();
    Life { log: world.log, broken }
}

fn live_beside_bad_rows(seed: u64, bug: Option<Bug>, log: Log) -> Life {
    let mut world = World::new(seed, bug, log);
    let broken = world.live_beside_bad_rows().and_then(|()| law(&world)).err();
    Life { log: world.log, broken }
}

#[test]
fn every_effect_is_sent_once_or_listed_wherever_workers_stand_still() {
    let test = "dispatch::simulation::every_effect_is_sent_once_or_listed_wherever_workers_stand_still";
    let Some(lived) = hold("worker", test, 0..3_000, |seed, log| live(seed, None, log)) else { return };
    lived.assert_seen(
        200_000,
        &[
            "a lease nobody hears of",
            "a settlement nobody hears of",
            "an attempt was settled already",
            "a lease runs out",
            "a settlement after the lease",
            "an attempt is too late to begin",
            "an effect is planned again",
            "the database is away",
            "the peer accepts and its answer is lost",
            "the peer is silent and has nothing",
            "the peer refuses for good",
            "the peer declines",
            "the peer is away",
            "a probe is leased",
            "a probe finds no row that is due",
            "a destination's rows wait",
            "a destination is back",
            "nothing waits for a destination",
        ],
    );
}

#[test]
fn a_fresh_row_is_sent_soon_beside_rows_that_always_fail() {
    let test = "dispatch::simulation::a_fresh_row_is_sent_soon_beside_rows_that_always_fail";
    let Some(lived) = hold("worker", test, 0..50, |seed, log| live_beside_bad_rows(seed, None, log)) else { return };
    lived.assert_seen(30_000, &["a bad row", "a probe is leased", "a fresh row is sent", "a destination is back"]);
}

#[test]
fn every_planted_bug_is_found() {
    let found = |bug: Bug, law: &str| {
        find(bug, law, 0..1_000, |seed, bug| live(seed, Some(bug), Log::default()));
    };
    found(Bug::Unfenced, "which is over");
    found(Bug::SentBeforeLeased, "was sent twice, and is not listed as ambiguous");
    found(Bug::AmbiguityForgotten, "was sent twice, and is not listed as ambiguous");
    found(Bug::HeldIsResent, "is to be held, and was sent twice");
    found(Bug::PlannedTwice, "have one key");
    found(Bug::NeverProbed, "still under way long after the healing");
    found(Bug::ProbedTwice, "is begun beside a probe");
    found(Bug::AnyEndIsTheProbes, "two probes at once");
    found(Bug::NeverClosed, "though nothing waits for it");
    found(Bug::LeasedAndDropped, "some are dropped");
    found(Bug::LostAnswerIsLostLease, "is told as ambiguous, and is not");
    find(Bug::OldestProbed, "behind rows that always fail", 0..10, |seed, bug| {
        live_beside_bad_rows(seed, Some(bug), Log::default())
    });
}
