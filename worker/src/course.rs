//! A batch's course from plans to verdicts: what to try next, what a failure means, what is written
//! down.
//!
//! A pure state machine. The pipeline does what it says and tells it how that went; the simulation
//! does the same with a database of its own.
//!
//! Invariant: a webhook has its verdict only when the transaction that held it is committed, or when
//! its failure is written down. Not promised: that the course ends; while the database is away, it
//! is tried again and again.

use std::collections::VecDeque;
use std::ops::Range;

use shared::message::Message;

use crate::batch::{Planned, Trouble, Verdict};
use crate::ladder::{Fate, Ladder};
use crate::splitter::{Split, Splitter};

/// How often a webhook that stands alone and takes too long is tried, before that counts as a failed attempt. More than
/// once, since the database may just be slow; and seldom, since each try takes `statement_timeout`, and all that its lane
/// holds waits for it.
const TRIES_ALONE: u32 = 3;

/// A webhook that was not processed: its position among the arrivals, itself, and why.
pub(crate) type Unprocessed = (usize, Message, Trouble);

/// One batch on its way.
pub(crate) struct Course {
    planned: Vec<Planned>,
    splitter: Splitter,
    /// What is being committed.
    trying: Range<usize>,
    /// How often what is being tried stood alone and took too long.
    tries_alone: u32,
    /// To be written down, in this order, when nothing is left to commit.
    unprocessed: VecDeque<Unprocessed>,
    /// In the order of the arrivals.
    verdicts: Vec<Verdict>,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step<'c> {
    /// Commit these in one transaction; then [`Course::committed`] or [`Course::failed`].
    Commit(&'c [Planned]),
    /// Write down that this webhook, at this place among the arrivals, was not processed, and where it goes; then
    /// [`Course::recorded`].
    Record(usize, &'c Message, Fate),
    /// Nothing: every arrival has its verdict.
    Done(Vec<Verdict>),
}

/// Why a batch was not committed, or is not known to be.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// Not its fault: try it whole again.
    Away(String),
    /// Perhaps its fault: try it in halves, and what stands alone a few times more.
    TooSlow(String),
    /// A webhook in it is at fault; this becomes of it when it stands alone.
    Spoiled(Trouble),
}

/// How soon to take the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once.
    GoOn,
    /// After a pause: the same would fail again.
    Pause,
}

impl Course {
    /// A batch of so many arrivals; those neither planned nor unprocessed are settled already.
    pub(crate) fn new(arrivals: usize, planned: Vec<Planned>, unprocessed: Vec<Unprocessed>) -> Self {
        Self {
            splitter: Splitter::new(planned.len()),
            planned,
            trying: 0..0,
            tries_alone: 0,
            unprocessed: unprocessed.into(),
            verdicts: vec![Verdict::Ack; arrivals],
        }
    }

    /// What to do next. Asked again without an answer to the step before, it says the same.
    pub(crate) fn next(&mut self, ladder: &Ladder) -> Step<'_> {
        if self.trying.is_empty() {
            self.trying = self.splitter.next().unwrap_or_default();
        }
        match (self.planned.get(self.trying.clone()), self.unprocessed.front()) {
            (Some(batch @ [_, ..]), _) => Step::Commit(batch),
            (_, Some((position, message, trouble))) => {
                Step::Record(*position, message, ladder.fate(message.attempt, trouble))
            }
            (_, None) => Step::Done(std::mem::take(&mut self.verdicts)),
        }
    }

    /// The transaction is committed; what it brought about is to be written down in turn, by
    /// position in the transaction.
    pub(crate) fn committed(&mut self, troubles: Vec<(usize, Trouble)>) {
        let range = std::mem::take(&mut self.trying);
        self.tries_alone = 0;
        for (offset, trouble) in troubles {
            self.trouble(range.start + offset, trouble);
        }
    }

    /// The transaction is not known to be committed.
    pub(crate) fn failed(&mut self, error: BatchError) -> Pace {
        let range = std::mem::take(&mut self.trying);
        match error {
            BatchError::Away(_) => {
                self.splitter.again(range);
                Pace::Pause
            }
            BatchError::TooSlow(error) => match self.splitter.split(range.clone()) {
                Split::Halved => Pace::GoOn,
                Split::Alone(index) => {
                    self.tries_alone += 1;
                    if self.tries_alone < TRIES_ALONE {
                        self.splitter.again(range);
                        return Pace::Pause;
                    }
                    self.tries_alone = 0;
                    self.trouble(index, Trouble::Retry(error));
                    Pace::GoOn
                }
            },
            BatchError::Spoiled(trouble) => {
                self.tries_alone = 0;
                if let Split::Alone(index) = self.splitter.split(range) {
                    self.trouble(index, trouble);
                }
                Pace::GoOn
            }
        }
    }

    /// The failure is written down, with this fate.
    pub(crate) fn recorded(&mut self, verdict: Verdict) {
        let position = self.unprocessed.pop_front().map(|(position, ..)| position);
        if let Some(place) = position.and_then(|position| self.verdicts.get_mut(position)) {
            *place = verdict;
        }
    }

    fn trouble(&mut self, index: usize, trouble: Trouble) {
        if let Some(planned) = self.planned.get(index) {
            self.unprocessed.push_back((planned.position, planned.message.clone(), trouble));
        }
    }
}
