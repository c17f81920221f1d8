//! The pause after a try that failed, while something is away: 0.2 s, doubling to 5 s, each with
//! jitter (so that many who wait for one thing do not come back at once), without end.

use std::time::Duration;

use backon::{BackoffBuilder, ConstantBuilder, ExponentialBackoff, ExponentialBuilder};

const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(5);

/// The pauses of one row of tries.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    /// The first pause will be short.
    #[must_use]
    pub fn new() -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(MIN).with_max_delay(MAX).with_jitter();
        Self(pauses.without_max_times().build())
    }

    /// A try went well: the next pause will be short again.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Waits; longer each time.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// A pause for what is done again and again: from half of `longest` to all of it, by chance, so that replicas that
/// started together do not go on together.
#[must_use]
pub fn now_and_then(longest: Duration) -> Duration {
    let half = longest / 2;
    ConstantBuilder::default().with_delay(half).with_jitter().build().next().unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_never_end_and_begin_anew() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..1_000).map(|_| backoff.next()).collect();
        assert!((MIN..=2 * MIN).contains(&pauses[0]), "{:?}", pauses[0]);
        assert!(pauses[3] >= 8 * MIN, "{:?}", pauses[3]);
        assert!(pauses[10..].iter().all(|pause| (MAX..=2 * MAX).contains(pause)), "jitter adds at most as much again");
        backoff.reset();
        assert!(backoff.next() <= 2 * MIN);
    }

    #[test]
    fn what_is_done_now_and_then_is_done_within_the_longest_pause() {
        let pauses: Vec<Duration> = (0..1_000).map(|_| now_and_then(MAX)).collect();
        assert!(pauses.iter().all(|pause| (MAX / 2..=MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "they differ");
    }
}
