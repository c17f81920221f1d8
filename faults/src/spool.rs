//! ingest's spool, seen from outside: what waits in it, what is damaged, and a hand that damages it.

use std::path::PathBuf;

use anyhow::Context as _;
use shared::spool::{Folder, batches, replicas};

/// All spool directories of a run.
#[derive(Debug, Clone)]
pub(crate) struct Spools {
    pub(crate) root: PathBuf,
}

impl Spools {
    /// Files that wait to be published.
    pub(crate) fn waiting(&self) -> anyhow::Result<u64> {
        Ok(self.files(Folder::New)?.len() as u64)
    }

    /// Files that were set aside.
    pub(crate) fn corrupt(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.files(Folder::Corrupt)
    }

    /// Files that wait, the oldest of each directory first.
    pub(crate) fn files(&self, folder: Folder) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for replica in replicas(&self.root)? {
            let folder = replica.join(folder.as_str());
            // A directory may go while we look: its ingest has just been adopted.
            let Ok(batches) = batches(&folder) else { continue };
            files.extend(batches.into_iter().map(|batch| folder.join(batch.name.to_string())));
        }
        Ok(files)
    }

    /// Takes a damaged file back to those that wait. ingest finds it when it starts.
    pub(crate) fn put_back(&self, corrupt: &std::path::Path) -> anyhow::Result<PathBuf> {
        let (folder, name) = (corrupt.parent().and_then(|folder| folder.parent()), corrupt.file_name());
        let (folder, name) = folder.zip(name).context("not a file of a spool")?;
        let new = folder.join(Folder::New.as_str()).join(name);
        std::fs::rename(corrupt, &new)?;
        Ok(new)
    }
}

/// Turns one bit of a file over; a second time, it is as before.
pub(crate) fn flip_bit(path: &std::path::Path, bit: u64) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8)?;
    byte = [byte[0] ^ (1 << (bit % 8))];
    file.write_all_at(&byte, bit / 8)?;
    Ok(file.sync_all()?)
}
