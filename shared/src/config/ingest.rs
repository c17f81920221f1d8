//! `[ingest]`: limits of the HTTP side. Head, body, confirm and spool together stay under 4 s, since the
//! strictest provider (Shopify) gives 5.

use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// Limits of the HTTP side.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// How long a request's head may take, in milliseconds; up to half a second more is granted.
    #[garde(range(min = 50, max = 3_000))]
    pub head_timeout_ms: u64,
    /// How long a request's body may take, in milliseconds; then 408.
    #[garde(range(min = 50, max = 3_000))]
    pub body_timeout_ms: u64,
    /// How long publish and confirm may take, in milliseconds; then the spool.
    #[garde(range(min = 50, max = 3_000))]
    pub publish_timeout_ms: u64,
    /// How long writing to the spool may take at least, in milliseconds, and what body and publish have left of
    /// theirs; then 503.
    #[garde(range(min = 50, max = 3_000))]
    pub spool_timeout_ms: u64,
    /// Genuine webhooks being published or spooled at once; more are answered 503.
    #[garde(range(min = 1, max = 65_536))]
    pub max_in_flight: u32,
    /// Bytes of bodies that have arrived and are not answered yet; more are answered 503.
    #[garde(range(min = 8_388_608, max = 68_719_476_736))]
    pub max_in_flight_bytes: u64,
    /// Open connections; more wait in the kernel's queue.
    #[garde(range(min = 1, max = 65_536))]
    pub max_connections: u32,
    /// How long an idle connection is kept, in seconds.
    #[garde(range(min = 1, max = 600))]
    pub keep_alive_s: u64,
    /// What 503 tells the provider in `Retry-After`, in seconds.
    #[garde(range(min = 1, max = 3_600))]
    pub retry_after_s: u32,
    /// How long a stopping ingest waits for open requests, in seconds.
    #[garde(range(min = 1, max = 60))]
    pub drain_timeout_s: u64,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            head_timeout_ms: 750,
            body_timeout_ms: 1_200,
            publish_timeout_ms: 1_000,
            spool_timeout_ms: 500,
            max_in_flight: 1_024,
            max_in_flight_bytes: 256 * 1024 * 1024,
            max_connections: 4_096,
            keep_alive_s: 75,
            retry_after_s: 5,
            drain_timeout_s: 10,
        }
    }
}

impl IngestConfig {
    /// The longest that head, body, confirm and spool may take together, in milliseconds.
    pub const MAX_ANSWER_MS: u64 = 4_000;
    /// How much longer than [`Self::head_timeout_ms`] a head may really take, in milliseconds: the
    /// HTTP server reads the time twice a second, and a head must not be cut off early.
    pub const HEAD_SLACK_MS: u64 = 500;
    /// Open files for a connection: its socket, and a second handle to it.
    const FILES_PER_CONNECTION: u64 = 2;
    /// Open files for everything else: the broker, listeners, runtimes.
    const FILES_BESIDES: u64 = 256;

    /// Open files that an ingest needs for [`Self::max_connections`].
    #[must_use]
    pub fn open_files(&self) -> u64 {
        u64::from(self.max_connections) * Self::FILES_PER_CONNECTION + Self::FILES_BESIDES
    }

    /// Connections that so many open files are enough for.
    #[must_use]
    pub fn connections_within(open_files: u64) -> u64 {
        open_files.saturating_sub(Self::FILES_BESIDES) / Self::FILES_PER_CONNECTION
    }

    /// [`Self::body_timeout_ms`] as a duration.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// [`Self::publish_timeout_ms`] as a duration.
    #[must_use]
    pub fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms)
    }

    /// What body, publish and spool may take together.
    #[must_use]
    pub fn accept_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms + self.publish_timeout_ms + self.spool_timeout_ms)
    }
}
