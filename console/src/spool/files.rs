//! What lies in a spool. Reads only, and needs neither lock, broker nor database.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use shared::spool::{self, Batch, BatchFile, Folder};
use time::format_description::well_known::Rfc3339;

use crate::output::{Shown, table};
use crate::steering::Progress;

/// All files.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Files(Vec<File>);

/// All files, read.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Verified(Vec<VerifiedFile>);

#[derive(Serialize)]
struct File {
    /// The replica's directory.
    replica: String,
    /// `new` waits to be published, `corrupt` for a person.
    folder: &'static str,
    file: String,
    bytes: u64,
    /// When its first webhook was received, RFC 3339.
    received_at: String,
}

#[derive(Serialize)]
struct VerifiedFile {
    #[serde(flatten)]
    file: File,
    /// Webhooks that are whole.
    webhooks: usize,
    /// What is wrong; empty for a whole file.
    damage: Vec<String>,
}

impl Verified {
    /// Whether every file is whole.
    pub(crate) fn is_fine(&self) -> bool {
        self.0.iter().all(|file| file.damage.is_empty())
    }
}

/// All files.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn list(root: &Path) -> anyhow::Result<Files> {
    Ok(Files(find(root)?.into_iter().map(|(_path, file)| file).collect()))
}

/// All files, read: one at a time, since what a spool holds may be more than memory. Shows how far it is.
///
/// # Errors
/// When the directory or a file cannot be read. Damage is no error.
pub(crate) fn verify(root: &Path) -> anyhow::Result<Verified> {
    let found = find(root)?;
    let progress = Progress::counting(found.len() as u64, "files");
    let mut verified = Vec::new();
    for (path, file) in found {
        match Batch::read(&path) {
            Ok(batch) => {
                let damage = batch.damage.iter().map(ToString::to_string).collect();
                verified.push(VerifiedFile { file, webhooks: batch.messages.len(), damage });
            }
            // Published since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        progress.advance(1);
    }
    Ok(Verified(verified))
}

/// Where each file is, replica by replica, the oldest first.
fn find(root: &Path) -> anyhow::Result<Vec<(PathBuf, File)>> {
    let mut found = Vec::new();
    for replica in spool::replicas(root)? {
        for folder in [Folder::New, Folder::Corrupt] {
            let path = replica.join(folder.as_str());
            let files = spool::batches(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.extend(files.into_iter().map(|file| {
                let described = describe(&replica, folder, file);
                (path.join(&described.file), described)
            }));
        }
    }
    Ok(found)
}

fn describe(replica: &Path, folder: Folder, file: BatchFile) -> File {
    File {
        replica: replica.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        folder: folder.as_str(),
        file: file.name.to_string(),
        bytes: file.bytes,
        received_at: file.name.received_at().format(&Rfc3339).unwrap_or_default(),
    }
}

impl Shown for Files {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "the spool is empty\n".to_owned();
        }
        let row = |file: &File| {
            let (replica, received_at) = (file.replica.clone(), file.received_at.clone());
            [replica, file.folder.to_owned(), file.file.clone(), file.bytes.to_string(), received_at]
        };
        table(["REPLICA", "FOLDER", "FILE", "BYTES", "RECEIVED"], self.0.iter().map(row))
    }
}

impl Shown for Verified {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "the spool is empty\n".to_owned();
        }
        let row = |verified: &VerifiedFile| {
            let file = &verified.file;
            let state = if verified.damage.is_empty() { "whole".to_owned() } else { verified.damage.join("; ") };
            [file.replica.clone(), file.folder.to_owned(), file.file.clone(), verified.webhooks.to_string(), state]
        };
        table(["REPLICA", "FOLDER", "FILE", "WEBHOOKS", "STATE"], self.0.iter().map(row))
    }
}
