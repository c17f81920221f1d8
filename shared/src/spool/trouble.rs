//! Files whose turn comes again: what cannot be read, published or taken away does not hold up what is behind it.
//!
//! Such a file stays in `new/` and is passed over for some rounds: one, then two, then four … at most [`MAX_ROUNDS`].
//! It is never moved for that: a disk that cannot read it may do so tomorrow, and `new/` is where it is tried again.
//! What is known of it, the records that are confirmed among it, is in memory alone. Forgotten, they are published
//! again, which the claim absorbs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, BatchName};

/// The most rounds for which a file is passed over.
const MAX_ROUNDS: u32 = 32;

/// How far a file has got: which of its records need not be published again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whole records that the file had.
    records: usize,
    confirmed: BTreeSet<usize>,
    unpublishable: BTreeSet<usize>,
}

/// Whether a file was put off before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// Now for the first time.
    First,
    /// It was, and nothing has changed.
    Again,
}

/// The files of a store that were put off.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<BatchName, Trouble>);

#[derive(Debug, Default)]
struct Trouble {
    progress: Progress,
    /// For how many rounds it was put off last.
    rounds: u32,
    /// How many of them are left.
    left: u32,
}

impl Progress {
    /// Of a file that was just read.
    #[must_use]
    pub fn of(batch: &Batch) -> Self {
        Self { records: batch.messages.len(), ..Self::default() }
    }

    /// The broker has confirmed a record.
    pub fn confirm(&mut self, record: usize) {
        self.confirmed.insert(record);
    }

    /// A record can never be published.
    pub fn give_up(&mut self, record: usize) {
        self.unpublishable.insert(record);
    }

    /// Whether a record still has to be published.
    #[must_use]
    pub fn is_open(&self, record: usize) -> bool {
        !self.confirmed.contains(&record) && !self.unpublishable.contains(&record)
    }

    /// Records that can never be published.
    #[must_use]
    pub fn unpublishable(&self) -> usize {
        self.unpublishable.len()
    }
}

impl Troubles {
    /// Puts a file off. Without `progress`, what was known of it holds.
    pub(super) fn defer(&mut self, name: BatchName, progress: Option<Progress>) -> Deferral {
        let trouble = self.0.entry(name).or_default();
        let deferral = if trouble.rounds == 0 { Deferral::First } else { Deferral::Again };
        trouble.rounds = trouble.rounds.saturating_mul(2).clamp(1, MAX_ROUNDS);
        trouble.left = trouble.rounds;
        if let Some(progress) = progress {
            trouble.progress = progress;
        }
        deferral
    }

    /// One round is over.
    pub(super) fn pass_round(&mut self) {
        for trouble in self.0.values_mut() {
            trouble.left = trouble.left.saturating_sub(1);
        }
    }

    /// Whether it is not yet the turn of a file.
    pub(super) fn puts_off(&self, name: BatchName) -> bool {
        self.0.get(&name).is_some_and(|trouble| trouble.left > 0)
    }

    /// How far a file had got. One that has other records than it had is published anew: which of them are confirmed
    /// cannot be told.
    pub(super) fn progress(&self, name: BatchName, batch: &Batch) -> Progress {
        let known = self.0.get(&name).map(|trouble| &trouble.progress);
        known.filter(|known| known.records == batch.messages.len()).cloned().unwrap_or_else(|| Progress::of(batch))
    }

    /// A file is gone.
    pub(super) fn end(&mut self, name: BatchName) {
        self.0.remove(&name);
    }

    /// Files that were put off and are still there.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_file_is_put_off_for_longer_each_time_and_never_for_good() {
        let (mut troubles, name) = (Troubles::default(), BatchName::default().next(OffsetDateTime::UNIX_EPOCH));
        assert!(!troubles.puts_off(name));
        let mut waits = Vec::new();
        for deferral in [Deferral::First].into_iter().chain([Deferral::Again; 6]) {
            assert_eq!(troubles.defer(name, None), deferral);
            let mut rounds = 0;
            while troubles.puts_off(name) {
                troubles.pass_round();
                rounds += 1;
            }
            waits.push(rounds);
        }
        assert_eq!((waits, troubles.count()), (vec![1, 2, 4, 8, 16, 32, 32], 1));
        troubles.end(name);
        assert_eq!(troubles.count(), 0);
    }
}
