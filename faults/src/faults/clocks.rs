//! Clocks that are wrong, differ from each other, and jump.

use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::clock;
use crate::world::World;

const OFFSETS: [&str; 4] = ["+10m", "-10m", "+1d", "-1d"];

pub(super) const OFF: Fault = Fault {
    number: 19,
    name: "clocks-off",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |setup, _| setup.false_clocks = true,
    inject: |world, chance| off(world, chance).boxed_local(),
};

/// Each process jumps by itself, several times, and comes back to the right time at last.
async fn off(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    let mut jumps = Vec::new();
    for _ in 0..4 {
        for process in ["ingest", "worker-0", "worker-1"] {
            let offset = chance.choice(OFFSETS).unwrap_or("+0");
            clock::set(&world.directory, process, offset)?;
            jumps.push(format!("{process} {offset}"));
        }
        world.accepts(150).await?;
    }
    for process in ["ingest", "worker-0", "worker-1"] {
        clock::set(&world.directory, process, "+0")?;
    }
    Injected::noted(jumps.join(", "))
}
