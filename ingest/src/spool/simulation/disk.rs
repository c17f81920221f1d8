//! A disk and a broker in memory, seeded, that fail and crash at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use shared::message::Message;
use shared::spool::{Batch, BatchFile, BatchName, Disk, Folder};
use testing::simulation::{Log, Random};

use super::Bug;

/// A file, as it is and as it would be behind a crash.
pub(super) struct SimFile {
    bytes: Vec<u8>,
    pub(super) ids: Vec<String>,
    synced: bool,
    pub(super) live: Option<Folder>,
    durable: Option<Folder>,
}

/// A machine: its disk, and what the broker got from it.
pub(super) struct World {
    random: Random,
    pub(super) bug: Bug,
    pub(super) files: BTreeMap<BatchName, SimFile>,
    /// Files with a flipped bit.
    pub(super) rotten: BTreeSet<BatchName>,
    /// Files that the disk never reads again.
    pub(super) unreadable: BTreeSet<BatchName>,
    pub(super) published: BTreeMap<String, Message>,
    /// Steps until the end of the process.
    pub(super) fuse: u64,
    pub(super) crashed: bool,
    /// One step in so many fails without a crash; 0: none.
    pub(super) failing: u64,
    pub(super) free: u64,
    pub(super) log: Log,
}

impl World {
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }

    /// One step: done, failed (done or not), or the last one of this process (done or not).
    pub(super) fn step(&mut self, kind: &'static str, act: impl FnOnce(&mut Self)) -> io::Result<()> {
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
    pub(super) fn reboot(&mut self) {
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
    pub(super) fn rot(&mut self) {
        let waiting = |file: &&mut SimFile| file.synced && file.live == Some(Folder::New);
        let at = self.random(1 << 32);
        if let Some((name, file)) = self.files.iter_mut().find(|(_, file)| waiting(file)) {
            let bit = usize::try_from(at).unwrap() % (file.bytes.len() * 8);
            file.bytes[bit / 8] ^= 1 << (bit % 8);
            self.rotten.insert(*name);
        }
    }

    /// The oldest file that waits lies on a bad sector from now on.
    pub(super) fn wear_out(&mut self) {
        let waiting = |(_, file): &(&BatchName, &SimFile)| file.synced && file.live == Some(Folder::New);
        if let Some(name) = self.files.iter().find(waiting).map(|(name, _)| *name) {
            self.log.note("a file can be read no more", || format!("{name}"));
            self.unreadable.insert(name);
        }
    }
}

/// The disk of a world.
#[derive(Clone)]
pub(super) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub(super) fn new(seed: u64, bug: Bug) -> Self {
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

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
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
