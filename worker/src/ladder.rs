//! The retry ladder: how long a failed webhook waits before its next attempt.

use std::time::Duration;

/// The delays between attempts, from the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Ladder(Vec<Duration>);

impl Ladder {
    pub(crate) fn new(delays: Vec<Duration>) -> Self {
        Self(delays)
    }

    /// The delay after a failed attempt; `failed_before` counts those before it. `None` when every
    /// rung was used: then the webhook is parked.
    pub(crate) fn next(&self, failed_before: u32) -> Option<Duration> {
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
        let climbed: Vec<_> = (0..4).map(|failed| ladder.next(failed)).collect();
        assert_eq!(climbed, [Some(short), Some(long), None, None]);
        assert_eq!(ladder.next(u32::MAX), None);
    }
}
