//! Pauses between tries while something is away: 0.1 s, doubling to 5 s, with jitter, without end.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const MIN: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(5);

/// The pauses of one row of tries.
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(builder().build())
    }

    /// The next pause will be short again.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Waits.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0.next().unwrap_or(MAX)).await;
    }
}

fn builder() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(MIN).with_max_delay(MAX).with_jitter().without_max_times()
}
