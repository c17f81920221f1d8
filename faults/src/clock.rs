//! False clocks: each process reads its offset from a file, through libfaketime.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The library that lies about the time, as Debian installs it.
const LIBRARIES: &str = "/usr/lib";

/// What makes a process believe its file. Its clock is right at first; time that is only measured stays true.
pub(crate) fn environment(directory: &Path, name: &str) -> anyhow::Result<Vec<(String, String)>> {
    set(directory, name, "+0")?;
    let file = file(directory, name).display().to_string();
    let pairs = [
        ("LD_PRELOAD", library()?.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
    ];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Sets a process' clock, relative to the right time: `+10m`, `-1d`.
pub(crate) fn set(directory: &Path, name: &str, offset: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(file(directory, name), format!("{offset}\n"))?)
}

fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.clock"))
}

fn library() -> anyhow::Result<PathBuf> {
    let in_folder = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    let mut found = std::fs::read_dir(LIBRARIES)?.flatten().map(in_folder).filter(|path| path.exists());
    found.next().context("libfaketime is not installed: run dev/install")
}
