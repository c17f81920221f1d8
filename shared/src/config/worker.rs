//! `[worker]` and `[dispatch]`: batches and planning, and how effects leave the outbox.

use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// Batches, planning and the database.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// The most webhooks in one transaction.
    #[garde(range(min = 1, max = 1_000))]
    pub batch_size: usize,
    /// The most bytes of bodies in one transaction; a larger body goes alone.
    #[garde(range(min = 1, max = 268_435_456))]
    pub batch_bytes: usize,
    /// Unacknowledged deliveries held at once; the next batch fills from them while one commits.
    #[garde(range(min = 1, max = 10_000))]
    pub prefetch: u16,
    /// The most bytes of their bodies. The broker counts messages and not bytes, so that as many are held as fit if
    /// each had the largest body that a source allows ([`Config::prefetch`](super::Config::prefetch)).
    #[garde(range(min = 8_388_608, max = 68_719_476_736))]
    pub in_flight_bytes: u64,
    /// Seconds without a delivery after which a queue is consumed anew, in case the broker has forgotten the consumer.
    #[garde(range(min = 1, max = 3_600))]
    pub renew_consumer_s: u64,
    /// How long one webhook's jq expressions and templates may run, in milliseconds. Then the
    /// worker ends itself: nothing else stops an expression that never returns.
    #[garde(range(min = 100, max = 600_000))]
    pub planning_timeout_ms: u64,
    /// A message that was delivered more often than this is run alone, on the suspects' queue.
    #[garde(range(min = 1, max = 18))]
    pub suspect_after_deliveries: i64,
    /// Connections to Postgres.
    #[garde(range(min = 3, max = 100))]
    pub database_connections: usize,
    /// `statement_timeout` of the worker's sessions, in milliseconds.
    #[garde(range(min = 100, max = 600_000))]
    pub statement_timeout_ms: u32,
    /// How long the worker waits for Postgres to finish a transaction, in milliseconds; longer than
    /// `statement_timeout_ms`. Then it gives the connection up and asks on another one what became of it.
    #[garde(range(min = 200, max = 1_800_000))]
    pub transaction_timeout_ms: u64,
    /// How long a stopping worker may take for what it holds, in seconds.
    #[garde(range(min = 1, max = 300))]
    pub drain_timeout_s: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            batch_size: 100,
            batch_bytes: 16 * 1024 * 1024,
            prefetch: 300,
            in_flight_bytes: 256 * 1024 * 1024,
            renew_consumer_s: 60,
            planning_timeout_ms: 10_000,
            suspect_after_deliveries: 3,
            database_connections: 8,
            statement_timeout_ms: 10_000,
            transaction_timeout_ms: 20_000,
            drain_timeout_s: 35,
        }
    }
}

impl WorkerConfig {
    /// [`Self::transaction_timeout_ms`] as a duration.
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.transaction_timeout_ms)
    }

    /// [`Self::drain_timeout_s`] as a duration.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_s)
    }
}

/// How effects leave the outbox.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct DispatchConfig {
    /// Effects performed at once by one worker.
    #[garde(range(min = 1, max = 256))]
    pub concurrency: usize,
    /// How long a worker owns a row that it leased, in milliseconds. A row whose worker died is
    /// taken up again 15 s after that, as ambiguous.
    #[garde(range(min = 1_000, max = 3_600_000))]
    pub lease_ms: u64,
    /// How long one send may take, in milliseconds; at most half the lease.
    #[garde(range(min = 100, max = 1_800_000))]
    pub deadline_ms: u64,
    /// Attempts before a row is `failed` and waits for a person.
    #[garde(range(min = 1, max = 1_000))]
    pub max_attempts: i32,
    /// The delay after the first failed attempt, in milliseconds; doubled each time.
    #[garde(range(min = 10, max = 3_600_000))]
    pub retry_min_ms: u64,
    /// The longest such delay, in milliseconds.
    #[garde(range(min = 10, max = 86_400_000))]
    pub retry_max_ms: u64,
    /// How often the outbox is looked at when nothing tells of new rows, in milliseconds.
    #[garde(range(min = 10, max = 60_000))]
    pub poll_ms: u64,
    /// Attempts of one effect in a row that its destination did not answer well, after which its breaker opens: no more
    /// rows of it are begun, but for a probe.
    #[garde(range(min = 1, max = 1_000))]
    pub breaker_failures: u32,
    /// The pause before the first probe of an open breaker, in milliseconds; doubled after each that fails.
    #[garde(range(min = 10, max = 3_600_000))]
    pub breaker_min_ms: u64,
    /// The longest such pause, in milliseconds.
    #[garde(range(min = 10, max = 3_600_000))]
    pub breaker_max_ms: u64,
    /// How often the mail server is asked whether it is there, in milliseconds.
    #[garde(range(min = 100, max = 3_600_000))]
    pub mail_probe_ms: u64,
    /// How long it may take for an answer to that, in milliseconds.
    #[garde(range(min = 100, max = 60_000))]
    pub mail_probe_timeout_ms: u64,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            concurrency: 8,
            lease_ms: 120_000,
            deadline_ms: 30_000,
            max_attempts: 48,
            retry_min_ms: 5_000,
            retry_max_ms: 3_600_000,
            poll_ms: 1_000,
            breaker_failures: 5,
            breaker_min_ms: 5_000,
            breaker_max_ms: 60_000,
            mail_probe_ms: 3_000,
            mail_probe_timeout_ms: 3_000,
        }
    }
}
