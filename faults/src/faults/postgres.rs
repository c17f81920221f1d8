//! Postgres: killed, away for a minute, and COMMITs whose fate nobody hears of.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::services::Service;
use crate::world::World;

pub(super) const COMMIT_LOST: Fault = Fault {
    number: 12,
    name: "commit-lost",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, _| commit_lost(world).boxed_local(),
};

pub(super) const KILLED: Fault = Fault {
    number: 14,
    name: "postgres-killed",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, chance| killed(world, chance).boxed_local(),
};

pub(super) const AWAY: Fault = Fault {
    number: 15,
    name: "postgres-away",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, _| away(world).boxed_local(),
};

/// Two COMMITs never arrive; then two arrive and their answers do not. The connections never come back: the workers
/// must give them up by themselves.
async fn commit_lost(world: &World) -> anyhow::Result<Injected> {
    for answer_only in [false, true] {
        world.worker_postgres.lose_commits(2, answer_only);
        world.worker_postgres.commits_are_lost().await;
        world.accepts(200).await?;
    }
    Injected::noted("2 COMMITs lost, and the answers of 2 more")
}

async fn killed(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    for _ in 0..3 {
        world.services.kill(Service::Postgres).await?;
        sleep(Duration::from_millis(chance.u64(200..1_000))).await;
        world.services.start(Service::Postgres).await?;
        world.accepts(100).await?;
    }
    Injected::noted("killed 3 times")
}

async fn away(world: &World) -> anyhow::Result<Injected> {
    world.services.stop(Service::Postgres).await?;
    sleep(Duration::from_secs(60)).await;
    world.services.start(Service::Postgres).await?;
    Injected::noted("away for 60 s")
}
