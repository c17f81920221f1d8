//! What the spool does with a disk, one step a function, so that tests can end the world between any two.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::{Batch, BatchFile, BatchName, Folder, Replica, batches};
use crate::failpoint;

/// A replica's directory. A step that failed may have happened, or not, or in part; each fails when the system says
/// so.
pub trait Disk: Send + Sync + 'static {
    /// Writes a new file in `tmp/` and syncs its bytes, through the same descriptor: a later one might not be told
    /// of an earlier error.
    fn write_tmp(&self, name: BatchName, bytes: &[u8]) -> io::Result<()>;
    /// Moves a file, whole or not at all.
    fn rename(&self, name: BatchName, from: Folder, to: Folder) -> io::Result<()>;
    /// Makes a folder's entries durable.
    fn sync(&self, folder: Folder) -> io::Result<()>;
    /// Removes a file; one that is not there is no error.
    fn remove(&self, name: BatchName, from: Folder) -> io::Result<()>;
    /// Reads a file of `new/`.
    fn read(&self, name: BatchName) -> io::Result<Batch>;
    /// A folder's files, the oldest first.
    fn list(&self, folder: Folder) -> io::Result<Vec<BatchFile>>;
    /// Bytes that may still be written to the file system.
    fn free_bytes(&self) -> io::Result<u64>;
}

impl Disk for Replica {
    fn write_tmp(&self, name: BatchName, bytes: &[u8]) -> io::Result<()> {
        let path = path(self, name, Folder::Tmp);
        failpoint::check("spool.create")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        failpoint::check("spool.write")?;
        file.sync_all()?;
        failpoint::check("spool.sync")
    }

    fn rename(&self, name: BatchName, from: Folder, to: Folder) -> io::Result<()> {
        fs::rename(path(self, name, from), path(self, name, to))?;
        failpoint::check("spool.rename")
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        File::open(self.folder(folder))?.sync_all()?;
        failpoint::check("spool.sync-folder")
    }

    fn remove(&self, name: BatchName, from: Folder) -> io::Result<()> {
        failpoint::check("spool.remove")?;
        match fs::remove_file(path(self, name, from)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn read(&self, name: BatchName) -> io::Result<Batch> {
        failpoint::check_for("spool.read", &name.to_string())?;
        Batch::read(&path(self, name, Folder::New))
    }

    fn list(&self, folder: Folder) -> io::Result<Vec<BatchFile>> {
        batches(&self.folder(folder))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(self.path())
    }
}

/// Bytes that may still be written to the file system that a path is on.
///
/// # Errors
/// When the system does not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statvfs(path).map_err(io::Error::from)?;
    // Their types differ from system to system; here both are u64.
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

fn path(replica: &Replica, name: BatchName, folder: Folder) -> PathBuf {
    replica.folder(folder).join(name.to_string())
}
