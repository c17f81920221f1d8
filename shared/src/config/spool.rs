//! `[spool]`: ingest's own disk, for the time the broker takes nothing.

use std::path::{Path, PathBuf};

use garde::Validate;
use serde::Deserialize;

/// ingest's own disk, for the time the broker takes nothing.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// Without a spool, webhooks are answered 503 while the broker takes nothing.
    #[garde(skip)]
    pub enabled: bool,
    /// Where it lies: a disk that survives the process. `SPOOL_DIR` in the environment goes before.
    #[garde(custom(not_empty))]
    pub directory: PathBuf,
    /// Bytes of files in one replica's directory; beyond it webhooks are answered 503.
    #[garde(range(min = 1_048_576))]
    pub max_bytes: u64,
    /// Bytes that stay free on its file system; below it webhooks are answered 503.
    #[garde(skip)]
    pub min_free_bytes: u64,
    /// Webhooks that share a file, and so an fsync.
    #[garde(range(min = 1, max = 1_024))]
    pub group: usize,
    /// How long a file waits for more webhooks, in milliseconds.
    #[garde(range(min = 0, max = 100))]
    pub group_ms: u64,
    /// Webhooks published from the spool in a second, so that fresh ones are not delayed.
    #[garde(range(min = 1, max = 1_000))]
    pub drain_per_second: u32,
}

fn not_empty(directory: &Path, _context: &()) -> garde::Result {
    if directory.as_os_str().is_empty() { Err(garde::Error::new("give a directory")) } else { Ok(()) }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: PathBuf::from("/var/lib/oncehook/spool"),
            max_bytes: 1024 * 1024 * 1024,
            min_free_bytes: 256 * 1024 * 1024,
            group: 64,
            group_ms: 5,
            drain_per_second: 500,
        }
    }
}
