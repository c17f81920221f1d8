//! The order of steps on the disk, on which the promise rests.
//!
//! Writing: bytes to `tmp/`, synced; renamed into `new/`; `new/` synced; then, and only then, `Ok`. So a file in
//! `new/` is whole, and one that was told `Ok` is there after any crash. A step that fails is final for its file:
//! after a failed fsync, the kernel may drop the bytes and say so once only, so nothing is tried again on it.
//!
//! Publishing: a file leaves `new/` when every record of it was confirmed by the broker, or, if it holds anything
//! that can never be published, goes to `corrupt/` after the rest of it was confirmed. A crash in between publishes
//! it again, which the claim absorbs. One that cannot be read, published or taken away waits, and those behind it go
//! first (`trouble`).
//!
//! Blocking: called from threads that may wait. Proved by simulated crashes in `ingest/src/spool/simulation`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::disk::Disk;
use super::trouble::{Deferral, Progress, Troubles};
use super::{Batch, BatchName, Folder};

/// How much a spool may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of its files, the corrupt ones included.
    pub max_bytes: u64,
    /// Bytes that stay free on the file system.
    pub min_free_bytes: u64,
}

/// Why a batch is not in the spool.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It has as many bytes as it may.
    #[error("the spool is full (spool.max_bytes)")]
    Full,
    /// Too little would be left free on its disk.
    #[error("the spool's disk is almost full (spool.min_free_bytes)")]
    LowDisk,
    /// A step on the disk failed.
    #[error("cannot {step}")]
    Io {
        /// What was attempted.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What becomes of a file whose records have been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Everything in it is confirmed: it is removed.
    Remove,
    /// Something in it can never be published: it is kept for a person.
    SetAside,
}

impl Limits {
    /// None at all: for who only takes out.
    pub const NONE: Self = Self { max_bytes: u64::MAX, min_free_bytes: 0 };
}

impl Settlement {
    /// Of a file, all of whose readable records were confirmed, except `unpublishable` ones.
    #[must_use]
    pub fn of(batch: &Batch, unpublishable: usize) -> Self {
        if batch.damage.is_empty() && unpublishable == 0 { Self::Remove } else { Self::SetAside }
    }
}

/// What a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Files waiting to be published.
    pub files: u64,
    /// Bytes of all files, the corrupt ones included.
    pub bytes: u64,
    /// Those of the waiting ones that were put off, because something about them failed.
    pub deferred_files: u64,
    /// Files waiting for a person.
    pub corrupt_files: u64,
    /// When the oldest waiting file was received.
    pub oldest: Option<OffsetDateTime>,
}

/// One replica's files, and what is known of them.
pub struct Store<D> {
    disk: D,
    limits: Limits,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    new: BTreeMap<BatchName, u64>,
    corrupt: BTreeMap<BatchName, u64>,
    troubles: Troubles,
    last: BatchName,
    /// Whether the last batch was refused, by the limits or the disk, and nothing has been removed since.
    refused: bool,
}

impl<D: Disk> Store<D> {
    /// Takes stock of a directory; what lies in `tmp/` was never answered 2xx and goes.
    ///
    /// # Errors
    /// When the directory cannot be read or tidied.
    pub fn open(disk: D, limits: Limits) -> Result<Self, StoreError> {
        let failed = |step| move |source| StoreError::Io { step, source };
        let list = |folder| disk.list(folder).map_err(failed("read the spool's directory"));
        for file in list(Folder::Tmp)? {
            disk.remove(file.name, Folder::Tmp).map_err(failed("remove an unfinished file"))?;
        }
        let index = |folder| Ok(list(folder)?.into_iter().map(|file| (file.name, file.bytes)).collect());
        let (new, corrupt): (BTreeMap<_, _>, BTreeMap<_, _>) = (index(Folder::New)?, index(Folder::Corrupt)?);
        let last = new.keys().chain(corrupt.keys()).max().copied().unwrap_or_default();
        Ok(Self { disk, limits, contents: Mutex::new(Contents { new, corrupt, last, ..Contents::default() }) })
    }

    /// Makes a batch file durable.
    ///
    /// # Errors
    /// When it is not; nothing of it may be answered 2xx.
    pub fn write(&self, bytes: &[u8], received_at: OffsetDateTime) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        let name = {
            let mut contents = self.contents();
            contents.last = contents.last.next(received_at);
            contents.last
        };
        let written = self.check_room(size).and_then(|()| self.write_durably(name, bytes));
        let mut contents = self.contents();
        contents.refused = written.is_err();
        if written.is_ok() {
            contents.new.insert(name, size);
        }
        written
    }

    fn write_durably(&self, name: BatchName, bytes: &[u8]) -> Result<(), StoreError> {
        self.step(name, "write a file", || self.disk.write_tmp(name, bytes))?;
        self.step(name, "move a file", || self.disk.rename(name, Folder::Tmp, Folder::New))?;
        self.step(name, "sync the directory", || self.disk.sync(Folder::New))
    }

    /// Does a step; if it fails, the file goes from wherever it may be: a step that failed may have happened.
    fn step(
        &self,
        name: BatchName,
        step: &'static str,
        doing: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), StoreError> {
        doing().map_err(|source| {
            // If it stays, it is published although it was answered 503: the provider's next try is a duplicate.
            for folder in [Folder::Tmp, Folder::New] {
                if let Err(error) = self.disk.remove(name, folder) {
                    tracing::warn!(file = %name, %error, "cannot remove a file that could not be written");
                }
            }
            StoreError::Io { step, source }
        })
    }

    /// Whether `bytes` more would be within the limits.
    ///
    /// # Errors
    /// When they would not, or the disk does not say.
    pub fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        if self.holdings().bytes.saturating_add(bytes) > self.limits.max_bytes {
            return Err(StoreError::Full);
        }
        let free = self.disk.free_bytes();
        let free = free.map_err(|source| StoreError::Io { step: "ask for the free space", source })?;
        if free < self.limits.min_free_bytes.saturating_add(bytes) { Err(StoreError::LowDisk) } else { Ok(()) }
    }

    /// Whether the next webhook can be expected to be kept.
    pub fn takes_more(&self) -> bool {
        !self.contents().refused && self.check_room(0).is_ok()
    }

    /// The file to be published next: the oldest whose turn it is.
    pub fn oldest(&self) -> Option<BatchName> {
        let contents = self.contents();
        contents.new.keys().find(|name| !contents.troubles.puts_off(**name)).copied()
    }

    /// Puts a file off, since something about it failed; without `progress`, what was known of it holds.
    pub fn defer(&self, name: BatchName, progress: Option<Progress>) -> Deferral {
        self.contents().troubles.defer(name, progress)
    }

    /// Brings the turn of the files that were put off one round nearer.
    pub fn pass_round(&self) {
        self.contents().troubles.pass_round();
    }

    /// How far a file has got that was just read.
    pub fn progress(&self, name: BatchName, batch: &Batch) -> Progress {
        self.contents().troubles.progress(name, batch)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When the system cannot read it. Damage is no error: it stands in the batch.
    pub fn read(&self, name: BatchName) -> io::Result<Batch> {
        self.disk.read(name)
    }

    /// Ends a file's time in `new/`. May be called again after an error.
    ///
    /// # Errors
    /// When a step on the disk fails; the file is then where it was, or where it was to go.
    pub fn settle(&self, name: BatchName, settlement: Settlement) -> io::Result<()> {
        match settlement {
            Settlement::Remove => self.disk.remove(name, Folder::New)?,
            Settlement::SetAside => {
                match self.disk.rename(name, Folder::New, Folder::Corrupt) {
                    // It was moved before, and the sync failed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    moved => moved?,
                }
                self.disk.sync(Folder::Corrupt)?;
            }
        }
        self.disk.sync(Folder::New)?;
        let mut contents = self.contents();
        contents.refused = false;
        contents.troubles.end(name);
        if let (Some(bytes), Settlement::SetAside) = (contents.new.remove(&name), settlement) {
            contents.corrupt.insert(name, bytes);
        }
        Ok(())
    }

    /// Forgets a file that somebody else has taken away.
    pub fn forget(&self, name: BatchName) {
        let mut contents = self.contents();
        contents.new.remove(&name);
        contents.troubles.end(name);
    }

    /// Bytes free on its disk, if that can be told.
    pub fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes().ok()
    }

    /// What it holds.
    pub fn holdings(&self) -> Holdings {
        let contents = self.contents();
        Holdings {
            files: contents.new.len() as u64,
            bytes: contents.new.values().chain(contents.corrupt.values()).sum(),
            deferred_files: contents.troubles.count(),
            corrupt_files: contents.corrupt.len() as u64,
            oldest: contents.new.keys().next().map(|name| name.received_at()),
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // No step of the map's changes can panic half-way.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
