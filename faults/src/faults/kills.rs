//! Processes that end by SIGKILL between two steps, at each step at least once.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::world::{World, until};

/// Where a worker's crash could lose or double something.
const WORKER_STEPS: [&str; 7] = [
    "worker.before-claim",
    "worker.after-claim",
    "worker.before-commit",
    "worker.after-commit",
    "worker.before-ack",
    "worker.leased",
    "worker.sent",
];

/// The spool's steps, from the first byte to the answer.
const SPOOL_STEPS: [&str; 5] = ["spool.create", "spool.write", "spool.sync", "spool.rename", "spool.sync-folder"];

pub(super) const WORKER: Fault = Fault {
    number: 1,
    name: "worker-killed",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |setup, chance| {
        setup.worker_failpoints = (0..setup.workers).map(|_| kill_at(&WORKER_STEPS, 1..8, chance)).collect();
    },
    inject: |world, _| kills(world, WORKER_STEPS.len() * 2).boxed_local(),
};

pub(super) const INGEST_BEFORE_ANSWER: Fault = Fault {
    number: 2,
    name: "ingest-killed-before-answer",
    cost: Cost::Cheap,
    answers: Answers::In2xxAtLast,
    doubts: Doubts::Hardly,
    setup: |setup, chance| setup.ingest_failpoints = kill_at(&["ingest.kept"; 5], 20..120, chance),
    inject: |world, _| kills(world, 5).boxed_local(),
};

pub(super) const INGEST_IN_SPOOL: Fault = Fault {
    number: 3,
    name: "ingest-killed-in-spool",
    cost: Cost::Cheap,
    answers: Answers::In2xxAtLast,
    doubts: Doubts::Hardly,
    setup: |setup, chance| {
        setup.ingest_failpoints = kill_at(&SPOOL_STEPS, 1..6, chance);
        // At last, between the confirms and the removal.
        setup.ingest_failpoints.push_back(format!("spool.remove=kill@{}", chance.u32(2..6)));
    },
    inject: |world, _| in_spool(world).boxed_local(),
};

/// One start for each step, in any order.
fn kill_at(steps: &[&str], passes: std::ops::Range<u32>, chance: &mut fastrand::Rng) -> VecDeque<String> {
    let mut steps = steps.to_vec();
    chance.shuffle(&mut steps);
    steps.into_iter().map(|step| format!("{step}=kill@{}", chance.u32(passes.clone()))).collect()
}

async fn kills(world: &World, count: usize) -> anyhow::Result<Injected> {
    let what = format!("{count} processes killed at their failpoints");
    let all = async || Ok(world.ends().await?.killed >= u32::try_from(count)?);
    until(Duration::from_secs(120), &what, all).await?;
    Injected::noted(what)
}

async fn in_spool(world: &World) -> anyhow::Result<Injected> {
    world.ingest_broker.swallow();
    kills(world, SPOOL_STEPS.len()).await?;
    world.accepts(100).await?;
    world.ingest_broker.heal();
    kills(world, SPOOL_STEPS.len() + 1).await
}
