//! The names of batch files: they sort by time of receipt, also as text.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

const SUFFIX: &str = ".batch";
const NANOS_DIGITS: usize = 20;
const COUNTER_DIGITS: usize = 20;

/// A batch file's name: `<Unix nanoseconds>-<counter>.batch`, both of 20 digits. Orders as its text does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchName {
    nanos: u64,
    counter: u64,
}

/// A text that names no batch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a batch file")]
pub struct NotABatch;

impl BatchName {
    /// The next name: never before this one, even when the clock has been set back.
    #[must_use]
    pub fn next(self, received_at: OffsetDateTime) -> Self {
        let nanos = u64::try_from(received_at.unix_timestamp_nanos()).unwrap_or_default();
        Self { nanos: nanos.max(self.nanos), counter: self.counter.wrapping_add(1) }
    }

    /// When the batch's first webhook was received, as far as the clock was right.
    #[must_use]
    pub fn received_at(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(self.nanos.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for BatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0NANOS_DIGITS$}-{:0COUNTER_DIGITS$}{SUFFIX}", self.nanos, self.counter)
    }
}

impl FromStr for BatchName {
    type Err = NotABatch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (nanos, counter) = text.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('-')).ok_or(NotABatch)?;
        Ok(Self { nanos: number(nanos, NANOS_DIGITS)?, counter: number(counter, COUNTER_DIGITS)? })
    }
}

fn number(text: &str, digits: usize) -> Result<u64, NotABatch> {
    if text.len() != digits || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotABatch);
    }
    text.parse().map_err(|_too_large| NotABatch)
}
