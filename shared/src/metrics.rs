//! What the services' metrics have in common. Labels come from closed sets, never from ids.
//!
//! Counters of closed sets exist from the start, at 0: Prometheus sees an increase only where there was a value before,
//! and what happens for the first time is what an alert is for.
//!
//! A limit stands beside what it limits, under the same name with `_limit`.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::telemetry::DroppedLines;

/// Seconds: 5 ms to 10 s, the buckets of durations that a deadline ends.
const DURATION_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Seconds: 5 ms to a day, the buckets of what may wait on the retry ladder or through an outage.
pub const LONG_DURATION_BUCKETS: [f64; 20] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 86_400.0,
];

/// A histogram of seconds.
#[must_use]
pub fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// A histogram of seconds up to a day.
#[must_use]
pub fn long_durations() -> Histogram {
    Histogram::new(LONG_DURATION_BUCKETS)
}

/// Registers the limit of a metric, as `METRIC_limit`; the help names the setting.
pub fn register_limit(registry: &mut Registry, metric: &str, help: &str, limit: impl TryInto<i64>) {
    let gauge = Gauge::<i64>::default();
    gauge.set(limit.try_into().unwrap_or(i64::MAX));
    registry.register(format!("{metric}_limit"), help, gauge);
}

/// Registers which service this is, and in which version: `oncehook_build_info`; and what its logs have lost.
pub fn register_build(registry: &mut Registry, service: &'static str) {
    let build = Info::new([("service", service), ("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("oncehook_build", "Which service this is, and its version", build);
    registry.register_collector(Box::new(DroppedLines));
}
