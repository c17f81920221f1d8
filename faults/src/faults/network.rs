//! The network between ingest, the workers and the broker: black holes, resets, half-open connections.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::relay::Cut;
use crate::world::World;

pub(super) const BLACK_HOLE: Fault = Fault {
    number: 11,
    name: "broker-unreachable",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, chance| black_hole(world, chance).boxed_local(),
};

pub(super) const CUT: Fault = Fault {
    number: 13,
    name: "connections-cut",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, chance| cut(world, chance).boxed_local(),
};

/// Long enough for heartbeats to miss, or too short for them.
async fn black_hole(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    let seconds = if chance.bool() { 15 } else { 4 };
    world.ingest_broker.swallow();
    sleep(Duration::from_secs(seconds)).await;
    world.ingest_broker.heal();
    Injected::noted(format!("nothing passed for {seconds} s"))
}

async fn cut(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    for _ in 0..3 {
        for relay in [&world.ingest_broker, &world.worker_broker, &world.worker_postgres] {
            relay.cut(Cut::Reset);
            sleep(Duration::from_millis(chance.u64(200..1_500))).await;
        }
    }
    // Only the heartbeat tells of these: it takes twice its time.
    world.ingest_broker.cut(Cut::HalfOpen);
    world.worker_broker.cut(Cut::HalfOpen);
    sleep(Duration::from_secs(12)).await;
    Injected::noted("9 resets in mid-frame, then both ways to the broker half open")
}
