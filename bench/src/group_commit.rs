//! The bare group commit: what a disk can promise when so many wait for it, and nothing else.
//!
//! The limit for the spool: the same bytes, the same group, the same steps (write, fsync, rename, fsync of the
//! directory), one file after the other, by one thread that calculates nothing.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;

use crate::load::{Load, Span, Tally};

/// Commits bodies for a time, while `waiting` of them always wait: the first `group` share a file.
///
/// # Errors
/// When the disk fails.
pub(crate) fn commit(directory: &Path, body: &Bytes, waiting: usize, group: usize, span: Span) -> anyhow::Result<Load> {
    let (new, temporary) = (directory.join("new"), directory.join("tmp"));
    for directory in [&new, &temporary] {
        fs::create_dir_all(directory)?;
    }
    let renamed = File::open(&new)?;
    let mut tally = Tally::begin(span)?;
    let mut queue: VecDeque<Instant> = std::iter::repeat_n(Instant::now(), waiting).collect();
    for number in 0_u64.. {
        if Instant::now() >= tally.end() {
            break;
        }
        let (from, to) = (temporary.join(number.to_string()), new.join(number.to_string()));
        let mut file = File::create_new(&from)?;
        let members = queue.len().min(group);
        file.write_all(&body.repeat(members))?;
        file.sync_all()?;
        fs::rename(&from, &to)?;
        renamed.sync_all()?;
        // They are answered, and as many come.
        for start in queue.drain(..members) {
            tally.count(start, Instant::now());
        }
        queue.extend(std::iter::repeat_n(Instant::now(), members));
    }
    fs::remove_dir_all(directory)?;
    tally.finish()
}
