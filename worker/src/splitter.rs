//! Halves a batch until the webhook that spoils it stands alone.
//!
//! A pure state machine: it hands out ranges of a batch, is told how each went, and says what to
//! do next. Poison never delays or parks its neighbours: every range without it goes through.

use std::ops::Range;

/// What is left of a batch.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Ranges to try, the next one last.
    todo: Vec<Range<usize>>,
}

/// What to do with a range that failed by the fault of its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// It was halved; go on with [`Splitter::next`].
    Halved,
    /// One webhook stands alone: this one.
    Alone(usize),
}

impl Splitter {
    /// A batch of `len` webhooks, tried whole first.
    pub(crate) fn new(len: usize) -> Self {
        let whole = 0..len;
        Self { todo: if whole.is_empty() { Vec::new() } else { vec![whole] } }
    }

    /// The next range to try; never empty. `None` when every webhook was in one that went through
    /// or stood alone.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        self.todo.pop()
    }

    /// A range failed for a reason outside it: it is tried again, whole.
    pub(crate) fn again(&mut self, range: Range<usize>) {
        self.todo.push(range);
    }

    /// A range failed by its data.
    pub(crate) fn split(&mut self, range: Range<usize>) -> Split {
        if range.len() == 1 {
            return Split::Alone(range.start);
        }
        let middle = range.start + range.len() / 2;
        self.todo.push(middle..range.end);
        self.todo.push(range.start..middle);
        Split::Halved
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is poisoned, and however often the database fails in between: the poisoned
        /// stand alone, each once, and every other webhook goes through once.
        #[test]
        fn only_the_poisoned_stand_alone(
            len in 0usize..300,
            poison in proptest::collection::btree_set(0usize..300, 0..12),
            outages in proptest::collection::vec(any::<bool>(), 0..40),
        ) {
            let poison: BTreeSet<usize> = poison.into_iter().filter(|index| *index < len).collect();
            let mut outages = outages.into_iter();
            let mut splitter = Splitter::new(len);
            let (mut alone, mut through) = (Vec::new(), Vec::new());
            while let Some(range) = splitter.next() {
                if outages.next() == Some(true) {
                    splitter.again(range);
                } else if range.clone().any(|index| poison.contains(&index)) {
                    if let Split::Alone(index) = splitter.split(range) {
                        alone.push(index);
                    }
                } else {
                    through.extend(range);
                }
            }
            prop_assert_eq!(alone, poison.iter().copied().collect::<Vec<_>>());
            through.sort_unstable();
            prop_assert_eq!(through, (0..len).filter(|index| !poison.contains(index)).collect::<Vec<_>>());
        }
    }
}
