//! Disks: full, failing, and with a bit turned over.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use nix::sys::signal::Signal;
use shared::spool::Folder;
use tokio::time::sleep;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::spool::flip_bit;
use crate::world::{World, until};

pub(super) const SPOOL_FULL: Fault = Fault {
    number: 17,
    name: "spool-disk-full",
    cost: Cost::Cheap,
    answers: Answers::In2xxAtLast,
    doubts: Doubts::Hardly,
    setup: |setup, chance| {
        setup.spool_disk_bytes = Some(2 << 20);
        setup.settings.push(("min_free_bytes = 268435456", "min_free_bytes = 0"));
        setup.mix.padding = 4_000;
        let steps = ["spool.create", "spool.write", "spool.sync", "spool.rename", "spool.sync-folder"];
        let failing = steps.map(|step| format!("{step}=fail@{}", chance.u32(1..10)));
        setup.ingest_failpoints.push_back(failing.join(","));
    },
    inject: |world, _| spool_full(world).boxed_local(),
};

pub(super) const POSTGRES_FULL: Fault = Fault {
    number: 18,
    name: "postgres-disk-full",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Some,
    setup: |setup, _| {
        setup.database_disk_bytes = Some(96 << 20);
        setup.mix.padding = 4_000;
    },
    inject: |world, _| postgres_full(world).boxed_local(),
};

pub(super) const FLIPPED_BIT: Fault = Fault {
    number: 23,
    name: "spool-bit-flipped",
    cost: Cost::Cheap,
    answers: Answers::In2xxAtLast, // ingest is restarted to take the mended file up
    doubts: Doubts::Hardly,
    setup: |_, _| {},
    inject: |world, chance| flipped_bit(world, chance).boxed_local(),
};

/// Every step fails once, then nothing fits any more.
async fn spool_full(world: &World) -> anyhow::Result<Injected> {
    world.ingest_broker.swallow();
    let refused = async || Ok(world.provider.history().answers.get(&503).is_some_and(|count| *count > 200));
    until(Duration::from_secs(60), "webhooks are answered 503", refused).await?;
    world.ingest_broker.heal();
    let refused = world.provider.history().answered_otherwise();
    Injected::noted(format!("{refused} deliveries were answered 503 while the disk was full or failing"))
}

/// Nothing is processed while there is no room for it; deliveries wait.
async fn postgres_full(world: &World) -> anyhow::Result<Injected> {
    let disk = world.disks.first().context("no small disk")?;
    disk.fill(64 << 10)?;
    let mut before = -1;
    let stuck = async || {
        // A database whose disk is full may take no connection: it cannot write the file that a new one begins with.
        let counted = world.database.number("SELECT count(*) FROM processed_webhooks").await;
        let Ok(processed) = counted else { return Ok(true) };
        let stuck = processed == before;
        before = processed;
        sleep(Duration::from_secs(2)).await;
        Ok(stuck)
    };
    until(Duration::from_secs(60), "nothing is processed any more", stuck).await?;
    world.accepts(200).await?;
    disk.free()?;
    Injected::noted("full until nothing was processed, then 200 webhooks longer")
}

/// The damaged file is set aside, told of and kept; mended, it is published like any other.
async fn flipped_bit(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    world.ingest_broker.swallow();
    let enough = async || Ok(world.spools.waiting()? >= 20);
    until(Duration::from_secs(60), "20 files in the spool", enough).await?;
    // Not one of the oldest: the drainer may hold those in memory already.
    let files = world.spools.files(Folder::New)?;
    let file = files.get(chance.usize(10..20)).context("the files are gone")?;
    let bit = chance.u64(0..std::fs::metadata(file)?.len() * 8);
    flip_bit(file, bit)?;
    world.ingest_broker.heal();
    let set_aside = async || Ok(world.spools.corrupt()?.len() == 1);
    until(Duration::from_secs(60), "the damaged file is set aside", set_aside).await?;
    let corrupt = world.spools.corrupt()?.pop().context("the damaged file is gone")?;
    flip_bit(&world.spools.put_back(&corrupt)?, bit)?;
    world.with_ingest(|ingest| ingest.signal(Signal::SIGKILL)).await?;
    Injected::noted(format!("bit {bit} flipped, the file set aside, mended and taken up again"))
}
