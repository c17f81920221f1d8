//! The oldest webhook in hand, for the metrics: how far behind a worker is.
//!
//! A queue gives its oldest messages first, so what is in the batch in hand is older than what waits behind it. AMQP
//! itself tells nobody how old the head of a queue is. Webhooks that failed before are left out: they are old because
//! they waited on the retry ladder, as they should.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use shared::message::Message;
use time::OffsetDateTime;

use crate::lane::Lane;

/// Nothing is in hand.
const NOTHING: i64 = i64::MAX;

/// The lanes that take whatever has arrived. The others are slow on purpose: how old their webhooks are tells nothing.
const LANES: [(Lane, &str); 2] = [(Lane::Work, "work"), (Lane::Elements, "elements")];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabel {
    lane: &'static str,
}

/// Since when the oldest webhook of the batch in hand is on its way, in unix milliseconds, by lane. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct InHand(Arc<[AtomicI64; LANES.len()]>);

/// A batch, while it is in hand.
pub(crate) struct Batch<'i>(&'i AtomicI64);

impl InHand {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let in_hand = Self(Arc::new([const { AtomicI64::new(NOTHING) }; LANES.len()]));
        registry.register_collector(Box::new(in_hand.clone()));
        in_hand
    }

    /// Takes a lane's next batch into hand; `None` for a lane that is slow on purpose.
    pub(crate) fn take(&self, lane: Lane, oldest: Option<OffsetDateTime>) -> Option<Batch<'_>> {
        let (since, _) = self.0.iter().zip(LANES).find(|(_, (of, _))| *of == lane)?;
        since.store(oldest.map_or(NOTHING, unix_ms), Ordering::Relaxed);
        Some(Batch(since))
    }

    /// The age of each lane's batch at this moment, in seconds.
    fn ages_s(&self, now: OffsetDateTime) -> impl Iterator<Item = (&'static str, f64)> {
        let age_ms = move |since: &AtomicI64| match since.load(Ordering::Relaxed) {
            NOTHING => 0,
            since_ms => unix_ms(now).saturating_sub(since_ms).max(0),
        };
        let age_s = move |since| Duration::from_millis(age_ms(since).unsigned_abs()).as_secs_f64();
        self.0.iter().zip(LANES).map(move |(since, (_, lane))| (lane, age_s(since)))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.0.store(NOTHING, Ordering::Relaxed);
    }
}

impl Collector for InHand {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help =
            "Age of the oldest webhook in the batch in hand, which is older than any that waits behind it; 0 if idle";
        let name = "worker_oldest_in_hand_age_seconds";
        let mut ages = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (lane, age_s) in self.ages_s(OffsetDateTime::now_utc()) {
            ConstGauge::new(age_s).encode(ages.encode_family(&LaneLabel { lane })?)?;
        }
        Ok(())
    }
}

/// Since when the oldest webhook is on its way of those that were never tried.
pub(crate) fn oldest<'m>(messages: impl Iterator<Item = &'m Message>) -> Option<OffsetDateTime> {
    messages.filter(|message| message.attempt == 0).map(Message::under_way_since).min()
}

fn unix_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use testing::orders::Order;
    use time::Duration;

    use super::*;

    #[test]
    fn the_oldest_first_attempt_counts_while_its_batch_is_in_hand() {
        let in_hand = InHand::register(&mut Registry::default());
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let aged = |seconds, attempt| {
            let received_at = now - Duration::seconds(seconds);
            Message { received_at, attempt, ..Order::of(1, "a@b.example", &[]).webhook("w") }
        };
        let ages = || in_hand.ages_s(now).map(|(_, age_s)| age_s).collect::<Vec<_>>();
        assert_eq!(ages(), [0.0, 0.0]);
        let messages = [aged(3, 0), aged(7, 0), aged(3600, 2)];
        let work = in_hand.take(Lane::Work, oldest(messages.iter()));
        let elements = in_hand.take(Lane::Elements, oldest([aged(9, 0)].iter()));
        assert_eq!(ages(), [7.0, 9.0]);
        drop(work);
        assert_eq!(ages(), [0.0, 9.0], "each lane's batch is its own");
        drop(elements);
        drop(in_hand.take(Lane::Work, oldest([aged(3600, 1)].iter())));
        assert!(in_hand.take(Lane::Suspect, oldest([aged(3600, 0)].iter())).is_none());
        assert_eq!(ages(), [0.0, 0.0]);
    }
}
