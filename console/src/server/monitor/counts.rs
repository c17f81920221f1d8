//! What one instance has counted since it started, and what a fleet counted between two looks ([`super::flow`]).
//!
//! Counters begin at zero when a process does. An instance that is seen for the first time adds nothing: what it counted
//! before is not of this moment. One whose counters went back has started anew: all of it is new.

use shared::metrics::LONG_DURATION_BUCKETS as LATENCY_BOUNDS;

use super::openmetrics::Sample;

/// One for each upper bound, and the last one without.
const BUCKETS: usize = LATENCY_BOUNDS.len() + 1;

/// Counted events. Of one instance since its start, or of all between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// Requests that were answered, handshakes left out.
    pub(crate) received: f64,
    /// Of these, what was refused or not taken.
    pub(crate) refused: f64,
    /// Webhooks that took effect or were skipped.
    pub(crate) processed: f64,
    pub(crate) duplicates: f64,
    pub(crate) retried: f64,
    pub(crate) parked: f64,
    /// Effects that their peers accepted.
    pub(crate) sent: f64,
    /// Attempts that did not end so.
    pub(crate) unsent: f64,
    /// Webhooks that went to the spool.
    pub(crate) spooled: f64,
    /// End-to-end latencies, by bucket; cumulative as they are published.
    pub(crate) latencies: [f64; BUCKETS],
}

impl Counts {
    /// What an instance's metrics say.
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let mut counts = Self::default();
        for sample in samples {
            counts.add_sample(sample);
        }
        counts
    }

    fn add_sample(&mut self, sample: &Sample) {
        let outcome = sample.label("outcome");
        let counter = match (sample.name.as_str(), outcome) {
            ("webhook_requests_total", "handshake") => return,
            ("webhook_requests_total", outcome) => {
                if outcome != "accepted" {
                    self.refused += sample.value;
                }
                &mut self.received
            }
            ("webhook_processed_total", "completed" | "skipped") => &mut self.processed,
            ("webhook_processed_total", "duplicate" | "duplicate-changed-body" | "replay") => &mut self.duplicates,
            ("webhook_processed_total", "retried") => &mut self.retried,
            ("webhook_processed_total", "parked") => &mut self.parked,
            ("webhook_effects_total", "sent") => &mut self.sent,
            ("webhook_effects_total", _) => &mut self.unsent,
            ("webhook_spool_written_total", _) => &mut self.spooled,
            ("webhook_end_to_end_seconds_bucket", _) => {
                match bucket(sample.label("le")).and_then(|at| self.latencies.get_mut(at)) {
                    Some(bucket) => bucket,
                    None => return,
                }
            }
            _ => return,
        };
        *counter += sample.value;
    }

    /// What was counted since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut is_anew = false;
        let difference = self.with(before, |now, before| {
            is_anew |= now < before;
            now - before
        });
        if is_anew { *self } else { difference }
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    /// Each number made of both ones.
    fn with(&self, other: &Self, mut make: impl FnMut(f64, f64) -> f64) -> Self {
        let mut latencies = self.latencies;
        for (mine, theirs) in latencies.iter_mut().zip(other.latencies) {
            *mine = make(*mine, theirs);
        }
        Self {
            received: make(self.received, other.received),
            refused: make(self.refused, other.refused),
            processed: make(self.processed, other.processed),
            duplicates: make(self.duplicates, other.duplicates),
            retried: make(self.retried, other.retried),
            parked: make(self.parked, other.parked),
            sent: make(self.sent, other.sent),
            unsent: make(self.unsent, other.unsent),
            spooled: make(self.spooled, other.spooled),
            latencies,
        }
    }

    /// The latency that a share of the webhooks stayed within, in seconds, interpolated within its bucket; `None` when
    /// there were none.
    pub(crate) fn latency(&self, share: f64) -> Option<f64> {
        let total = self.latencies.last().copied().filter(|total| *total > 0.0)?;
        let wanted = total * share;
        let (mut floor, mut below) = (0.0, 0.0);
        for (bound, within) in LATENCY_BOUNDS.iter().zip(&self.latencies) {
            if *within >= wanted {
                let of_bucket = within - below;
                let part = if of_bucket > 0.0 { (wanted - below) / of_bucket } else { 1.0 };
                return Some(floor + (bound - floor) * part);
            }
            (floor, below) = (*bound, *within);
        }
        Some(floor) // beyond the last bound: at least that
    }
}

fn bucket(bound: &str) -> Option<usize> {
    let bound: f64 = bound.parse().ok()?;
    if bound.is_infinite() {
        return Some(BUCKETS - 1);
    }
    LATENCY_BOUNDS.iter().position(|known| (known - bound).abs() < 1e-9)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;
    use crate::server::monitor::openmetrics::read;

    #[test]
    fn metrics_become_counts() {
        let text = "webhook_requests_total{source=\"a\",outcome=\"accepted\"} 5\n\
            webhook_requests_total{source=\"b\",outcome=\"signature_refused\"} 2\n\
            webhook_requests_total{source=\"b\",outcome=\"handshake\"} 9\n\
            webhook_processed_total{source=\"a\",outcome=\"completed\"} 3\n\
            webhook_processed_total{source=\"a\",outcome=\"duplicate-changed-body\"} 1\n\
            webhook_effects_total{effect=\"mail\",outcome=\"ambiguous\"} 1\n";
        let counts = Counts::of(&read(text));
        assert_eq!((counts.received, counts.refused, counts.processed), (7.0, 2.0, 3.0));
        assert_eq!((counts.duplicates, counts.unsent, counts.sent), (1.0, 1.0, 0.0));
    }

    #[test]
    fn a_process_that_started_anew_adds_all_that_it_counted() {
        let one = |received| Counts { received, ..Counts::default() };
        assert_eq!(one(9.0).since(&one(4.0)), one(5.0));
        assert_eq!(one(3.0).since(&one(4.0)), one(3.0));
        assert_eq!(one(3.0).plus(&one(4.0)), one(7.0));
    }

    #[test]
    fn latencies_are_read_as_workers_publish_them() {
        let (mut registry, published) = (Registry::default(), shared::metrics::long_durations());
        registry.register_with_unit("webhook_end_to_end", "", Unit::Seconds, published.clone());
        for _webhook in 0..100 {
            published.observe(0.02);
        }
        published.observe(1_000.0);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let counts = Counts::of(&read(&text));
        let (half, all) = (counts.latency(0.5).unwrap(), counts.latency(1.0).unwrap());
        assert!((0.01..0.025).contains(&half), "{half}");
        assert!((300.0..=1_800.0).contains(&all), "{all}");
    }

    #[test]
    fn percentiles_are_interpolated_within_their_bucket() {
        let mut counts = Counts::default();
        assert_eq!(counts.latency(0.5), None);
        // 50 within 50 ms, 50 more within 100 ms.
        for (at, bucket) in counts.latencies.iter_mut().enumerate() {
            *bucket = if at < 3 {
                0.0
            } else if at < 5 {
                50.0
            } else {
                100.0
            };
        }
        assert!((counts.latency(0.5).unwrap() - 0.05).abs() < 1e-9);
        assert!((counts.latency(0.99).unwrap() - 0.0995).abs() < 1e-9);
        counts.latencies[BUCKETS - 1] = 1_000.0;
        assert!((counts.latency(0.99).unwrap() - 86_400.0).abs() < 1e-9, "beyond the last bound it is at least that");
    }
}
