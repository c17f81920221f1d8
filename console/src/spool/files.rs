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
    let mut files = Vec::new();
    for (replica, folder) in folders(root)? {
        files.extend(find(&replica, folder)?);
    }
    Ok(Files(files))
}

/// All files, read: one at a time, since what a spool holds may be more than memory. Shows how far it is.
///
/// # Errors
/// When the directory or a file cannot be read. Damage is no error.
pub(crate) fn verify(root: &Path) -> anyhow::Result<Verified> {
    let (progress, mut verified) = (Progress::counting(0, "files"), Vec::new());
    for (replica, folder) in folders(root)? {
        // Looked for when the folder before is read: what an ingest has set aside meanwhile is among them.
        let files = find(&replica, folder)?;
        progress.expect_more(files.len() as u64);
        for file in files {
            let path = replica.join(folder.as_str()).join(&file.file);
            match Batch::read(&path) {
                Ok(batch) => {
                    let damage = batch.damage.iter().map(ToString::to_string).collect();
                    verified.push(VerifiedFile { file, webhooks: batch.messages.len(), damage });
                }
                // Published or set aside since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
            }
            progress.advance(1);
        }
    }
    Ok(Verified(verified))
}

/// Where files lie, replica by replica: what waits, then what was set aside.
fn folders(root: &Path) -> anyhow::Result<Vec<(PathBuf, Folder)>> {
    let both = |replica: PathBuf| [Folder::New, Folder::Corrupt].map(|folder| (replica.clone(), folder));
    Ok(spool::replicas(root)?.into_iter().flat_map(both).collect())
}

/// The files of a folder, the oldest first.
fn find(replica: &Path, folder: Folder) -> anyhow::Result<Vec<File>> {
    let path = replica.join(folder.as_str());
    let files = spool::batches(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(files.into_iter().map(|file| describe(replica, folder, file)).collect())
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
