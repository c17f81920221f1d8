//! The directories of a spool: one a replica, locked by the ingest that uses it.
//!
//! Replicas take the first directory whose lock is free, so one that is started again finds what it had
//! spooled, and what a sibling left behind is found by whoever looks for free locks. The lock (`flock`) ends
//! with its process, however that ends. Directories are never removed: a lock on a removed file guards nothing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::BatchName;

const PREFIX: &str = "replica-";
const LOCK: &str = "lock";
/// More ingests than anyone runs on one directory.
const MAX_REPLICAS: u32 = 1_000;

/// The folders of a replica's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Being written.
    Tmp,
    /// Durable, waits to be published.
    New,
    /// Damaged, waits for a person.
    Corrupt,
}

impl Folder {
    /// Its name on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tmp => "tmp",
            Self::New => "new",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Why a spool's directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A directory is not there and cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A lock cannot be asked for.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory cannot be read.
    #[error("cannot read the directory {}", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All directories are in use.
    #[error("{MAX_REPLICAS} processes use the spool already")]
    TooMany,
}

/// A replica's directory, locked until this is dropped or the process ends.
#[derive(Debug)]
pub struct Replica {
    path: PathBuf,
    _lock: File,
}

/// A batch file in one of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFile {
    /// Its name.
    pub name: BatchName,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Replica {
    /// Takes the first directory below `root` that nobody uses, making it if need be.
    ///
    /// # Errors
    /// When directories cannot be made, or locks not be asked for.
    pub fn claim(root: &Path) -> Result<Self, DirectoryError> {
        for number in 0..MAX_REPLICAS {
            let path = root.join(format!("{PREFIX}{number:03}"));
            make(&path)?;
            if let Some(replica) = Self::try_lock(path)? {
                return Ok(replica);
            }
        }
        Err(DirectoryError::TooMany)
    }

    /// Takes every directory below `root` that nobody uses.
    ///
    /// # Errors
    /// When the directories cannot be read, or locks not be asked for.
    pub fn orphans(root: &Path) -> Result<Vec<Self>, DirectoryError> {
        let free = replicas(root)?.into_iter().map(Self::try_lock);
        free.filter_map(Result::transpose).collect()
    }

    /// One of its folders.
    #[must_use]
    pub fn folder(&self, folder: Folder) -> PathBuf {
        self.path.join(folder.as_str())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a replica's directory, if nobody uses it.
    ///
    /// # Errors
    /// When its lock cannot be asked for.
    pub fn try_lock(path: PathBuf) -> Result<Option<Self>, DirectoryError> {
        let file = path.join(LOCK);
        let failed = |source| DirectoryError::Lock { path: file.clone(), source };
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&file).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Makes a replica's directory with its folders, durably.
fn make(path: &Path) -> Result<(), DirectoryError> {
    let make = || {
        for folder in [Folder::Tmp, Folder::New, Folder::Corrupt] {
            DirBuilder::new().recursive(true).mode(0o700).create(path.join(folder.as_str()))?;
        }
        // The entries of the replica's directory, its own in the root, and the root's, which may be new as well.
        path.ancestors().take(3).filter(|at| !at.as_os_str().is_empty()).try_for_each(|at| File::open(at)?.sync_all())
    };
    make().map_err(|source| DirectoryError::Make { path: path.to_owned(), source })
}

/// The replicas' directories below `root`, in order, without locking them; none when `root` is not there.
///
/// # Errors
/// When `root` cannot be read.
pub fn replicas(root: &Path) -> Result<Vec<PathBuf>, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: root.to_owned(), source };
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_replica = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_replica && entry.file_type().map_err(failed)?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The batch files of a folder, the oldest first. Other files are passed over, and so is what goes away meanwhile.
///
/// # Errors
/// When the folder cannot be read.
pub fn batches(folder: &Path) -> io::Result<Vec<BatchFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match entry.metadata() {
            Ok(metadata) => found.push(BatchFile { name, bytes: metadata.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by_key(|file| file.name);
    Ok(found)
}

/// How many files wait to be published in all directories below `root`, locked or not; 0 when `root` is not there.
///
/// # Errors
/// When a directory cannot be read.
pub fn waiting_files(root: &Path) -> Result<usize, DirectoryError> {
    let count = |replica: PathBuf| {
        let path = replica.join(Folder::New.as_str());
        match batches(&path) {
            Ok(files) => Ok(files.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(DirectoryError::Read { path, source }),
        }
    };
    replicas(root)?.into_iter().map(count).sum()
}
