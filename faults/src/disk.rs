//! Small disks: file systems in memory that are full when a fault wants them full. Needs root.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::User;

use crate::database::admin;

/// A mounted file system of a given size.
pub(crate) struct SmallDisk {
    path: PathBuf,
    tablespace: Option<String>,
}

impl SmallDisk {
    /// Mounts one on an existing directory, for an owner other than root if one is given.
    pub(crate) fn mount(path: &Path, bytes: u64, owner: Option<&str>) -> anyhow::Result<Self> {
        let mut options = format!("size={bytes},mode=700");
        if let Some(name) = owner {
            let user = User::from_name(name)?.with_context(|| format!("there is no user {name}"))?;
            options.push_str(&format!(",uid={},gid={}", user.uid, user.gid));
        }
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .with_context(|| format!("cannot mount a small disk on {}", path.display()))?;
        Ok(Self { path: path.to_owned(), tablespace: None })
    }

    /// A tablespace of that name on a disk of its own.
    pub(crate) async fn tablespace(name: &str, path: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        let mut disk = Self::mount(path, bytes, Some("postgres"))?;
        let statement = format!("CREATE TABLESPACE {name} LOCATION '{}'", path.display());
        admin().await?.batch_execute(&statement).await?;
        disk.tablespace = Some(name.to_owned());
        Ok(disk)
    }

    /// Fills it until so many bytes are left; or until none is, if somebody else was quicker.
    pub(crate) fn fill(&self, leave: u64) -> anyhow::Result<()> {
        let stat = nix::sys::statvfs::statvfs(&self.path)?;
        let free = stat.blocks_available() * stat.fragment_size();
        match std::fs::write(self.ballast(), vec![1; usize::try_from(free.saturating_sub(leave))?]) {
            Err(error) if error.kind() != ErrorKind::StorageFull => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Frees what [`SmallDisk::fill`] has taken.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    /// Ends it, with everything on it.
    pub(crate) async fn unmount(self) -> anyhow::Result<()> {
        if let Some(name) = &self.tablespace {
            admin().await?.batch_execute(&format!("DROP TABLESPACE {name}")).await?;
        }
        umount2(&self.path, MntFlags::MNT_DETACH)?;
        if self.tablespace.is_some() {
            std::fs::remove_dir(&self.path)?;
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}
