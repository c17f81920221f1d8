//! Webhooks that end whoever handles them. They are parked at last, and their neighbours take effect.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::world::{World, until};

/// What the ids of webhooks begin with that make a worker panic, abort, or run out of memory.
pub(super) const PANIC: &str = "panic-";
pub(super) const ABORT: &str = "abort-";
pub(super) const EXHAUST: &str = "exhaust-";

pub(super) const SWALLOWED: Fault = Fault {
    number: 22,
    name: "poison",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |setup, _| {
        setup.mix.poison = vec![(PANIC, 150), (ABORT, 400), (EXHAUST, 500)];
        let failpoints = [(PANIC, "panic"), (ABORT, "abort"), (EXHAUST, "exhaust")];
        let failpoints = failpoints.map(|(beginning, action)| format!("worker.plan~{beginning}={action}"));
        setup.worker_failpoints_always = Some(failpoints.join(","));
        setup.worker_memory_bytes = Some(1 << 30);
        setup.settings.push(("retry_delays_s = [1, 2, 4, 8, 16]", "retry_delays_s = [1, 2, 4]"));
    },
    inject: |world, _| swallowed(world).boxed_local(),
};

async fn swallowed(world: &World) -> anyhow::Result<Injected> {
    world.accepts(600).await?;
    let fatal = async || Ok(world.ends().await?.failed > 0);
    until(Duration::from_secs(60), "a worker has swallowed poison", fatal).await?;
    Injected::noted("webhooks that panic, abort and exhaust the memory, among 600 others")
}
