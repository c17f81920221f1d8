//! Workers that freeze past every time limit, and workers that come and go.

use std::time::Duration;

use futures_util::FutureExt as _;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::world::World;

/// Past `idle_in_transaction_session_timeout` (15 s) and the lease of a run (8 s).
const FREEZE: Duration = Duration::from_secs(18);

pub(super) const FROZEN: Fault = Fault {
    number: 16,
    name: "worker-frozen",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, chance| frozen(world, chance).boxed_local(),
};

pub(super) const ROLLED: Fault = Fault {
    number: 24,
    name: "workers-rolled",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |setup, _| setup.workers = 1,
    inject: |world, _| rolled(world).boxed_local(),
};

async fn frozen(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    let index = chance.usize(0..2);
    world.with_worker(index, |worker| worker.signal(Signal::SIGSTOP)).await?;
    sleep(FREEZE).await;
    world.with_worker(index, |worker| worker.signal(Signal::SIGCONT)).await?;
    Injected::noted(format!("one of 2 workers frozen for {} s", FREEZE.as_secs()))
}

async fn rolled(world: &World) -> anyhow::Result<Injected> {
    for _ in 1..8 {
        world.add_worker().await?;
    }
    for _ in 1..8 {
        world.remove_worker().await?;
    }
    Injected::noted("1 to 8 workers and back to 1, each stopped gracefully")
}
