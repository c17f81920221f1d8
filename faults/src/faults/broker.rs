//! The broker: killed, frozen, away, without memory or disk, its queue deleted or full.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Answers, Cost, Destroyed, Doubts, Fault, Injected};
use crate::services::{Alarm, Service};
use crate::world::{World, until};

/// Webhooks that two workers hold unacknowledged at once, at most (`worker.prefetch` of each).
const HELD: usize = 2 * 300;
/// Webhooks, so many that some are left in the queue.
const MORE_THAN_HELD: usize = HELD + 300;

pub(super) const KILLED: Fault = Fault {
    number: 4,
    name: "broker-killed",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, chance| killed(world, chance).boxed_local(),
};

pub(super) const FROZEN: Fault = Fault {
    number: 5,
    name: "broker-frozen",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, _| frozen(world).boxed_local(),
};

pub(super) const RESTARTED: Fault = Fault {
    number: 6,
    name: "broker-restarted",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, _| restarted(world).boxed_local(),
};

pub(super) const MEMORY_ALARM: Fault = Fault {
    number: 7,
    name: "broker-memory-alarm",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, _| alarmed(world, Alarm::Memory).boxed_local(),
};

pub(super) const DISK_ALARM: Fault = Fault {
    number: 8,
    name: "broker-disk-alarm",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, _| alarmed(world, Alarm::Disk).boxed_local(),
};

pub(super) const QUEUE_DELETED: Fault = Fault {
    number: 9,
    name: "queue-deleted",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, _| queue_deleted(world).boxed_local(),
};

pub(super) const QUEUE_FULL: Fault = Fault {
    number: 10,
    name: "queue-full",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |setup, _| {
        setup.settings.push(("max_bytes = 4294967296", "max_bytes = 1048576"));
        setup.mix.padding = 4_000;
    },
    inject: |world, _| queue_full(world).boxed_local(),
};

/// Three times, each time as soon as it is back.
async fn killed(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    for _ in 0..3 {
        world.services.kill(Service::Rabbitmq).await?;
        world.accepts(100).await?;
        world.services.start(Service::Rabbitmq).await?;
        sleep(Duration::from_millis(chance.u64(500..3_000))).await;
    }
    Injected::noted("killed 3 times")
}

async fn frozen(world: &World) -> anyhow::Result<Injected> {
    world.services.pause(Service::Rabbitmq).await?;
    sleep(Duration::from_secs(30)).await;
    world.services.resume(Service::Rabbitmq).await?;
    Injected::noted("frozen for 30 s")
}

/// Once as quickly as it can, once with a minute between.
async fn restarted(world: &World) -> anyhow::Result<Injected> {
    world.services.restart(Service::Rabbitmq).await?;
    world.accepts(100).await?;
    world.services.stop(Service::Rabbitmq).await?;
    sleep(Duration::from_secs(60)).await;
    world.services.start(Service::Rabbitmq).await?;
    Injected::noted("restarted, then away for 60 s")
}

async fn alarmed(world: &World, alarm: Alarm) -> anyhow::Result<Injected> {
    world.services.alarm(alarm).await?;
    world.accepts(100).await?;
    let spooled = world.spools.waiting()?;
    anyhow::ensure!(spooled > 0, "the alarm blocked nobody");
    sleep(Duration::from_secs(8)).await;
    world.services.alarm(Alarm::Off).await?;
    Injected::noted(format!("{spooled} files in the spool during the alarm"))
}

/// Deleted once with what waits in it; then deleted and declared with other arguments before anybody else declares it.
async fn queue_deleted(world: &World) -> anyhow::Result<Injected> {
    let queue = world.topology.webhooks();
    let connection = world.broker().await?;
    let channel = connection.create_channel().await?;
    signal_workers(world, Signal::SIGSTOP).await?;
    // What the frozen workers hold comes back to them; more than that has to wait, for anything to be destroyed.
    world.accepts(MORE_THAN_HELD).await?;
    let mut messages = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    anyhow::ensure!(messages > 0, "the queue was empty, so nothing was destroyed");
    signal_workers(world, Signal::SIGCONT).await?;
    world.accepts(100).await?;
    let mut tries = 0;
    let destroyed_at = loop {
        tries += 1;
        anyhow::ensure!(tries <= 50, "the services always declare the queue first");
        let channel = connection.create_channel().await?;
        messages += channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        let mut others = FieldTable::default();
        others.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        if channel.queue_declare(queue.as_str().into(), durable, others).await.is_ok() {
            break Instant::now();
        }
    };
    world.accepts(200).await?;
    connection.close(200, "done".into()).await?;
    let note = format!("the queue was deleted with {messages} messages, then declared with other arguments");
    let at_most = usize::try_from(messages)? + HELD;
    Ok(Injected { destroyed: Some(Destroyed { at: destroyed_at, at_most }), note })
}

/// Nobody takes anything off the queue until it is full and the spool has to take the rest.
async fn queue_full(world: &World) -> anyhow::Result<Injected> {
    signal_workers(world, Signal::SIGSTOP).await?;
    let spooling = async || Ok(world.spools.waiting()? > 5);
    until(Duration::from_secs(60), "the queue is full", spooling).await.context("nothing went to the spool")?;
    world.accepts(100).await?;
    signal_workers(world, Signal::SIGCONT).await?;
    Injected::noted("the queue was full and the spool took the rest")
}

async fn signal_workers(world: &World, signal: Signal) -> anyhow::Result<()> {
    for index in 0..2 {
        world.with_worker(index, |worker| worker.signal(signal)).await?;
    }
    Ok(())
}
