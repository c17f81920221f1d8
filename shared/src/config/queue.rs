//! `[queue]`: the queues and the connection to the broker.

use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// The queues and the connection to the broker.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Put before every queue's name, so that several installations can share a broker.
    #[garde(length(max = 64), custom(plain))]
    pub prefix: String,
    /// `x-max-length-bytes` of the work queue; beyond it the broker refuses and ingest spools.
    #[garde(range(min = 1_048_576))]
    pub max_bytes: i64,
    /// The retry ladder: the delay before each next attempt, in seconds. One queue a delay.
    #[garde(length(min = 1, max = 16), inner(range(min = 1, max = 86_400)))]
    pub retry_delays_s: Vec<u32>,
    /// AMQP heartbeat, in seconds: a frozen broker is noticed after twice as long. 0 would never
    /// notice.
    #[garde(range(min = 1, max = 60))]
    pub heartbeat_s: u16,
    /// Messages that are published and not yet confirmed, at most.
    #[garde(range(min = 1, max = 4_096))]
    pub publish_window: usize,
    /// The most bytes of their bodies; a larger body goes alone.
    #[garde(range(min = 1, max = 268_435_456))]
    pub publish_window_bytes: usize,
}

/// Queue names go into tools and shells: letters, digits, `.`, `_` and `-` only.
fn plain(prefix: &str, _context: &()) -> garde::Result {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if prefix.bytes().all(allowed) { Ok(()) } else { Err(garde::Error::new("use letters, digits, '.', '_' and '-'")) }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            max_bytes: 4 * 1024 * 1024 * 1024,
            retry_delays_s: vec![5, 30, 120, 600, 3_600],
            heartbeat_s: 5,
            publish_window: 256,
            publish_window_bytes: 16 * 1024 * 1024,
        }
    }
}

impl QueueConfig {
    /// The ladder's delays as durations.
    #[must_use]
    pub fn retry_delays(&self) -> Vec<Duration> {
        self.retry_delays_s.iter().map(|seconds| Duration::from_secs((*seconds).into())).collect()
    }
}
