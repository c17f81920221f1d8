//! The store's steps, run to death: a disk and a broker in memory, seeded, that fail and crash at any step.
//!
//! The disk forgets in a crash whatever was not synced: bytes are cut off anywhere, an entry that was made, moved or
//! removed is where it was or where it went. The law: every webhook that was answered `Ok` is published, or lies in
//! a file of `corrupt/` whose bits were flipped, or in one of `new/` that the disk never reads again; and nothing is published that was not handed in, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, mpsc::sync_channel};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use shared::config::IngestConfig;
use shared::message::{Message, sha256};
use shared::name::Name;
use shared::spool::{Batch, BatchBuilder, BatchFile, BatchName, Disk, Folder, Limits, Settlement, Store, StoreError};
use testing::simulation::{Life, Log, Random, find, hold};
use time::OffsetDateTime;
use tokio::sync::{Notify, oneshot};

use super::NotSpooled;
use super::metrics::Metrics;
use super::writer::{Command, Grouping, Request, Writer};
use crate::room::Room;

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

struct SimFile {
    bytes: Vec<u8>,
    ids: Vec<String>,
    synced: bool,
    live: Option<Folder>,
    durable: Option<Folder>,
}

struct World {
    random: Random,
    bug: Bug,
    files: BTreeMap<BatchName, SimFile>,
    /// Files with a flipped bit.
    rotten: BTreeSet<BatchName>,
    /// Files that the disk never reads again.
    unreadable: BTreeSet<BatchName>,
    published: BTreeMap<String, Message>,
    /// Steps until the end of the process.
    fuse: u64,
    crashed: bool,
    /// One step in so many fails without a crash; 0: none.
    failing: u64,
    free: u64,
    log: Log,
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }

    /// One step: done, failed (done or not), or the last one of this process (done or not).
    fn step(&mut self, kind: &'static str, act: impl FnOnce(&mut Self)) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("crashed"));
        }
        self.fuse -= 1;
        self.crashed = self.fuse == 0;
        let fails = self.crashed || (self.failing > 0 && self.random(self.failing) == 0);
        let is_done = !fails || self.random(2) == 0;
        let crashed = self.crashed;
        self.log.note(kind, || format!("done: {is_done}, fails: {fails}, crashed: {crashed}"));
        if is_done {
            act(self);
        }
        if fails { Err(io::Error::other("failed")) } else { Ok(()) }
    }

    /// The machine is gone and comes back.
    fn reboot(&mut self) {
        let names: Vec<_> = self.files.keys().copied().collect();
        for name in names {
            let (place, cut) = (self.random(2) == 0, self.random(1_000));
            let file = self.files.get_mut(&name).unwrap();
            let place = if place { file.live } else { file.durable };
            if !file.synced {
                file.bytes.truncate(file.bytes.len() * usize::try_from(cut).unwrap() / 1_000);
            }
            (file.live, file.durable, file.synced) = (place, place, true);
            if place.is_none() {
                self.files.remove(&name);
            }
        }
        self.crashed = false;
    }

    /// A bit of a file that waits is flipped.
    fn rot(&mut self) {
        let waiting = |file: &&mut SimFile| file.synced && file.live == Some(Folder::New);
        let at = self.random(1 << 32);
        if let Some((name, file)) = self.files.iter_mut().find(|(_, file)| waiting(file)) {
            let bit = usize::try_from(at).unwrap() % (file.bytes.len() * 8);
            file.bytes[bit / 8] ^= 1 << (bit % 8);
            self.rotten.insert(*name);
        }
    }

    /// The oldest file that waits lies on a bad sector from now on.
    fn wear_out(&mut self) {
        let waiting = |(_, file): &(&BatchName, &SimFile)| file.synced && file.live == Some(Folder::New);
        if let Some(name) = self.files.iter().find(waiting).map(|(name, _)| *name) {
            self.log.note("a file can be read no more", || format!("{name}"));
            self.unreadable.insert(name);
        }
    }
}

#[derive(Clone)]
struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    fn new(seed: u64, bug: Bug) -> Self {
        Self(Arc::new(Mutex::new(World {
            random: Random::new(seed),
            bug,
            files: BTreeMap::new(),
            rotten: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            published: BTreeMap::new(),
            fuse: u64::MAX,
            crashed: false,
            failing: 0,
            free: u64::MAX,
            log: Log::default(),
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Disk for SimDisk {
    fn write_tmp(&self, name: BatchName, bytes: &[u8]) -> io::Result<()> {
        let ids = Batch::decode(Bytes::copy_from_slice(bytes)).messages.into_iter().map(|message| message.id).collect();
        let file = SimFile { bytes: bytes.to_vec(), ids, synced: false, live: Some(Folder::Tmp), durable: None };
        let mut world = self.world();
        world.step("a file is written", |world| drop(world.files.insert(name, file)))?;
        let synced = world.bug != Bug::BytesAreNotSynced;
        world.step("a file is synced", |world| world.files.get_mut(&name).unwrap().synced = synced)
    }

    fn rename(&self, name: BatchName, from: Folder, to: Folder) -> io::Result<()> {
        let mut world = self.world();
        if world.files.get(&name).is_none_or(|file| file.live != Some(from)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.step("a file is moved", |world| world.files.get_mut(&name).unwrap().live = Some(to))
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        self.world().step("a folder is synced", |world| {
            let syncs = world.bug != Bug::EntriesAreNotSynced;
            let touched = |file: &&mut SimFile| file.live == Some(folder) || file.durable == Some(folder);
            for file in world.files.values_mut().filter(touched).filter(|_| syncs) {
                file.durable = file.live;
            }
        })
    }

    fn remove(&self, name: BatchName, from: Folder) -> io::Result<()> {
        self.world().step("a file is removed", |world| {
            if let Some(file) = world.files.get_mut(&name).filter(|file| file.live == Some(from)) {
                file.live = None;
            }
        })
    }

    fn read(&self, name: BatchName) -> io::Result<Batch> {
        let mut world = self.world();
        world.step("a file is read", |_| {})?;
        if world.unreadable.contains(&name) {
            return Err(io::Error::other("input/output error"));
        }
        let file = world.files.get(&name).filter(|file| file.live == Some(Folder::New));
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Batch::decode(Bytes::copy_from_slice(&file.bytes)))
    }

    fn list(&self, folder: Folder) -> io::Result<Vec<BatchFile>> {
        let world = self.world();
        let here = world.files.iter().filter(|(_, file)| file.live == Some(folder));
        Ok(here.map(|(name, file)| BatchFile { name: *name, bytes: file.bytes.len() as u64 }).collect())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.world().free)
    }
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

/// A writer on a disk, handed some webhooks and told to stop; what each was answered, and the files.
fn write(disk: &SimDisk, limits: Limits, webhooks: u64) -> (Vec<Result<(), NotSpooled>>, usize) {
    let (commands, receiver) = sync_channel(100);
    let store = Arc::new(Store::open(disk.clone(), limits).unwrap());
    let ingest = IngestConfig::default();
    let room = Room::new(&ingest, crate::metrics::Metrics::register(&mut Registry::default(), &ingest));
    let mut answers = Vec::new();
    for number in 0..webhooks {
        let (done, answer) = oneshot::channel();
        commands
            .send(Command::Keep(Box::new(Request { message: message(number), _room: room.bytes(), done })))
            .unwrap();
        answers.push(answer);
    }
    commands.send(Command::Stop).unwrap();
    let grouping = Grouping { webhooks: 4, time: Duration::from_secs(60) };
    let (metrics, written) = (Metrics::default(), Arc::new(Notify::new()));
    Writer { store, commands: receiver, grouping, metrics, written }.run();
    let answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
    (answers, disk.list(Folder::New).unwrap().len())
}

#[test]
fn a_stopping_writer_finishes_the_group_in_hand() {
    assert_eq!(write(&SimDisk::new(1, Bug::None), Limits::NONE, 10), (vec![Ok(()); 10], 3));
}

/// The first file's fate is sealed by one failed step; the next file is written all the same.
#[test]
fn a_failed_step_refuses_its_whole_file_and_no_other() {
    for fuse in 1..=4 {
        let disk = SimDisk::new(fuse, Bug::None);
        disk.world().fuse = fuse;
        let (answers, _) = write(&disk, Limits::NONE, 4);
        assert_eq!(answers, [Err(NotSpooled::Failed); 4], "step {fuse}");
        disk.world().reboot();
        disk.world().fuse = u64::MAX;
        assert_eq!(write(&disk, Limits::NONE, 4).0, [Ok(()); 4]);
    }
}

#[test]
fn the_caps_refuse_and_room_is_made_by_publishing() {
    let disk = SimDisk::new(1, Bug::None);
    let full = Limits { max_bytes: 10, min_free_bytes: 0 };
    assert_eq!(write(&disk, full, 1), (vec![Err(NotSpooled::Full)], 0));
    disk.world().free = 1_000;
    assert_eq!(write(&disk, Limits { max_bytes: 10_000, min_free_bytes: 990 }, 1), (vec![Err(NotSpooled::LowDisk)], 0));
    let store = Store::open(disk.clone(), Limits { max_bytes: 100, min_free_bytes: 0 }).unwrap();
    store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH).unwrap();
    assert!(matches!(store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH), Err(StoreError::Full)));
    assert!(!store.takes_more());
    store.settle(store.oldest().unwrap(), Settlement::Remove).unwrap();
    assert!(store.takes_more());
    store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH).unwrap();
}
