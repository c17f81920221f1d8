//! The store's steps, run to death on a disk and a broker that fail and crash at any step ([`disk`]).
//!
//! The disk forgets in a crash whatever was not synced: bytes are cut off anywhere, an entry that was made, moved or
//! removed is where it was or where it went. The law: every webhook that was answered `Ok` is published, or lies in
//! a file of `corrupt/` whose bits were flipped, or in one of `new/` that the disk never reads again; and nothing is
//! published that was not handed in, byte for byte.

mod disk;
mod writer;

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use shared::message::{Message, sha256};
use shared::name::Name;
use shared::spool::{BatchBuilder, Folder, Limits, Settlement, Store};
use testing::simulation::{Life, Log, find, hold};
use time::OffsetDateTime;

use self::disk::{SimDisk, SimFile, World};

/// What is built wrong on purpose, to see that the law finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    BytesAreNotSynced,
    EntriesAreNotSynced,
    RemovedBeforeConfirmed,
    UnconfirmedCountsAsConfirmed,
    DamagedIsRemoved,
    UnreadableStopsTheRest,
}

/// Publishes until it is confirmed, or was lost too often, as the drainer does; `false` then, and when the process
/// ended meanwhile.
fn confirm(disk: &SimDisk, message: &Message) -> bool {
    for _ in 0..3 {
        let mut world = disk.world();
        let (lands, confirmed) = match world.random(10) {
            0 => (false, false),
            1 => (true, false), // the confirm is lost
            _ => (true, true),
        };
        let published = world.step("a message is published", |world| {
            if lands {
                world.published.insert(message.id.clone(), message.clone());
            }
        });
        match published {
            Err(_) if world.crashed => return false,
            Ok(()) if confirmed || world.bug == Bug::UnconfirmedCountsAsConfirmed => return true,
            _ => {}
        }
    }
    false
}

/// What the drainer does with one file.
fn drain(disk: &SimDisk, store: &Store<SimDisk>, bug: Bug) {
    let Some(name) = store.oldest() else { return };
    let batch = match store.read(name) {
        Ok(batch) => batch,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return store.forget(name),
        Err(_) if bug == Bug::UnreadableStopsTheRest => return,
        Err(_) => {
            store.defer(name, None);
            return;
        }
    };
    let settlement = match bug {
        Bug::DamagedIsRemoved => Settlement::Remove,
        _ => Settlement::of(&batch, 0),
    };
    if bug == Bug::RemovedBeforeConfirmed {
        return drop(store.settle(name, settlement));
    }
    let mut progress = store.progress(name, &batch);
    let mut lost = false;
    for (record, message) in batch.messages.iter().enumerate() {
        if progress.is_open(record) {
            if confirm(disk, message) { progress.confirm(record) } else { lost = true }
        }
    }
    if lost || store.settle(name, settlement).is_err() {
        store.defer(name, Some(progress));
    }
}

pub(super) fn message(number: u64) -> Message {
    let body = Bytes::from(format!("body {number}").repeat(usize::try_from(number % 7).unwrap()));
    Message {
        source: Name::try_from("shop").unwrap(),
        provider: Name::try_from("shopify").unwrap(),
        id: format!("w{number}"),
        topic: "t".to_owned(),
        received_at: OffsetDateTime::from_unix_timestamp(i64::try_from(number).unwrap()).unwrap(),
        content_type: None,
        headers: Vec::new(),
        body_sha256: sha256(&body),
        attempt: 0,
        traceparent: None,
        steering: None,
        body,
    }
}

/// One machine's life: several processes, each ended at some step.
fn live(seed: u64, bug: Bug, log: Log) -> Life {
    let disk = SimDisk::new(seed, bug);
    disk.world().log = log;
    let (mut number, mut answered) = (0, BTreeSet::new());
    for _ in 0..8 {
        let fuse = disk.world().random(120) + 1;
        (disk.world().fuse, disk.world().failing) = (fuse, 25);
        if let Ok(store) = Store::open(disk.clone(), Limits::NONE) {
            while !disk.world().crashed {
                let action = disk.world().random(20);
                match action {
                    0..10 => {
                        let group: Vec<_> = (0..=number % 3).map(|more| message(number + more)).collect();
                        number += 3;
                        let mut batch = BatchBuilder::default();
                        group.iter().for_each(|message| batch.push(message).unwrap());
                        if store.write(&batch.finish(), group[0].received_at).is_ok() {
                            answered.extend(group.into_iter().map(|message| message.id));
                        }
                    }
                    10..19 if store.oldest().is_some() => drain(&disk, &store, bug),
                    19 if seed.is_multiple_of(2) => disk.world().rot(),
                    19 if seed.is_multiple_of(3) => disk.world().wear_out(),
                    19 => store.pass_round(),
                    _ => drop(disk.world().step("nothing is done", |_| {})),
                }
            }
        }
        disk.world().reboot();
    }
    (disk.world().fuse, disk.world().failing) = (u64::MAX, 0);
    let store = Store::open(disk.clone(), Limits::NONE).unwrap();
    // With a disk that fails no more, each file's turn comes; what still waits is not asked for without end.
    for _ in 0..40 {
        (0..=store.holdings().files).for_each(|_| drain(&disk, &store, bug));
        store.pass_round();
    }
    let mut world = disk.world();
    let broken = law(&world, &answered).err();
    Life { log: std::mem::take(&mut world.log), broken }
}

fn law(world: &World, answered: &BTreeSet<String>) -> Result<(), String> {
    let aside =
        world.files.iter().filter(|(name, file)| file.live == Some(Folder::Corrupt) && world.rotten.contains(name));
    let aside: BTreeSet<&String> = aside.flat_map(|(_, file)| &file.ids).collect();
    let is_unreadable = |name, file: &&SimFile| file.live == Some(Folder::New) && world.unreadable.contains(name);
    let unreadable = world.files.iter().filter(|(name, file)| is_unreadable(name, file));
    let unreadable: BTreeSet<&String> = unreadable.flat_map(|(_, file)| &file.ids).collect();
    let somewhere = |id: &String| world.published.contains_key(id) || aside.contains(id) || unreadable.contains(id);
    if let Some(lost) = answered.iter().find(|id| !somewhere(id)) {
        return Err(format!("{lost} was answered and is lost"));
    }
    match world.published.values().find(|published| message(published.id[1..].parse().unwrap()) != **published) {
        Some(altered) => Err(format!("{} was published otherwise than it was received", altered.id)),
        None => Ok(()),
    }
}

#[test]
fn what_was_answered_is_never_lost_wherever_it_crashes() {
    let test = "spool::simulation::what_was_answered_is_never_lost_wherever_it_crashes";
    let Some(lived) = hold("ingest", test, 0..3_000, |seed, log| live(seed, Bug::None, log)) else { return };
    lived.assert_seen(
        1_000_000,
        &["a file is removed", "a file is moved", "a folder is synced", "a file can be read no more"],
    );
}

#[test]
fn every_planted_bug_is_found() {
    let found = |bug: Bug, law: &str| find(bug, law, 0..1_000, |seed, bug| live(seed, bug, Log::default()));
    found(Bug::BytesAreNotSynced, "was answered and is lost");
    found(Bug::EntriesAreNotSynced, "was answered and is lost");
    found(Bug::RemovedBeforeConfirmed, "was answered and is lost");
    found(Bug::UnconfirmedCountsAsConfirmed, "was answered and is lost");
    found(Bug::DamagedIsRemoved, "was answered and is lost");
    found(Bug::UnreadableStopsTheRest, "was answered and is lost");
}
