//! The retry ladder: where a webhook goes that was not processed, and how long it waits there.

use std::time::Duration;

use shared::db::parked_webhooks::ParkReason;

use crate::batch::{Trouble, Verdict};

/// The delays between attempts, from the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Ladder(Vec<Duration>);

/// Where a webhook goes that was not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// To the ladder.
    Retry {
        /// How long it waits there.
        delay: Duration,
        /// What went wrong.
        error: String,
    },
    /// Into `parked_webhooks`.
    Park {
        /// Why, from the closed list.
        reason: ParkReason,
        /// Why, for a person.
        detail: String,
    },
}

impl Fate {
    /// How metrics call what went wrong.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retried",
            Self::Park { reason, .. } => reason.as_str(),
        }
    }

    /// Whether its body may be looked into once more: what was delivered too often may end whoever does, and what cannot be
    /// read may be anybody's.
    pub(crate) fn is_safe_to_read(&self) -> bool {
        !matches!(self, Self::Park { reason: ParkReason::DeadLettered | ParkReason::Unreadable, .. })
    }

    /// What the consumer does with it, once it is written down.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Retry { delay, .. } => Verdict::Retry(*delay),
            Self::Park { .. } => Verdict::Ack,
        }
    }
}

impl Ladder {
    pub(crate) fn new(delays: Vec<Duration>) -> Self {
        Self(delays)
    }

    /// Where a webhook goes; `failed_before` counts the attempts that failed before this one.
    pub(crate) fn fate(&self, failed_before: u32, trouble: &Trouble) -> Fate {
        match trouble {
            Trouble::Park(reason, detail) => Fate::Park { reason: *reason, detail: detail.clone() },
            Trouble::Retry(error) => match self.rung(failed_before) {
                Some(delay) => Fate::Retry { delay, error: error.clone() },
                None => Fate::Park { reason: ParkReason::RetriesExhausted, detail: error.clone() },
            },
        }
    }

    /// The delay after a failed attempt; `None` when every rung was used.
    fn rung(&self, failed_before: u32) -> Option<Duration> {
        self.0.get(usize::try_from(failed_before).unwrap_or(usize::MAX)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_climbs_one_rung_and_the_last_one_parks() {
        let [short, long] = [Duration::from_secs(5), Duration::from_secs(30)];
        let ladder = Ladder::new(vec![short, long]);
        let climbed = |failed_before| ladder.fate(failed_before, &Trouble::Retry("away".to_owned()));
        for (failed_before, delay) in [(0, short), (1, long)] {
            assert_eq!(climbed(failed_before), Fate::Retry { delay, error: "away".to_owned() });
            assert_eq!(climbed(failed_before).verdict(), Verdict::Retry(delay));
        }
        let exhausted = Fate::Park { reason: ParkReason::RetriesExhausted, detail: "away".to_owned() };
        assert_eq!([climbed(2), climbed(u32::MAX)], [exhausted.clone(), exhausted]);
        assert_eq!(climbed(2).verdict(), Verdict::Ack);
    }
}
