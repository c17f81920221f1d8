//! What the services' metrics have in common. Labels come from closed sets, never from ids.

use prometheus_client::metrics::histogram::Histogram;

/// Seconds: 5 ms to 10 s, the buckets of every duration.
const DURATION_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A histogram of seconds.
#[must_use]
pub fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}
