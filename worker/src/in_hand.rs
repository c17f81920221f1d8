//! The oldest webhook in hand, for the metrics: how far behind a worker is.
//!
//! A queue gives its oldest messages first, so what is in the batch in hand is older than what waits behind it. AMQP
//! itself tells nobody how old the head of a queue is. Webhooks that failed before are left out: they are old because
//! they waited on the retry ladder, as they should.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use shared::message::Message;
use time::OffsetDateTime;

/// Nothing is in hand.
const NOTHING: i64 = i64::MAX;

/// Since when the oldest webhook of the batch in hand is on its way, in unix milliseconds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct InHand(Arc<AtomicI64>);

/// A batch, while it is in hand.
pub(crate) struct Batch<'i>(&'i InHand);

impl InHand {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let in_hand = Self(Arc::new(AtomicI64::new(NOTHING)));
        registry.register_collector(Box::new(in_hand.clone()));
        in_hand
    }

    /// Takes the work queue's next batch into hand.
    pub(crate) fn take(&self, oldest: Option<OffsetDateTime>) -> Batch<'_> {
        self.0.store(oldest.map_or(NOTHING, unix_ms), Ordering::Relaxed);
        Batch(self)
    }

    fn age_s(&self, now: OffsetDateTime) -> f64 {
        let age_ms = match self.0.load(Ordering::Relaxed) {
            NOTHING => 0,
            since_ms => unix_ms(now).saturating_sub(since_ms).max(0),
        };
        std::time::Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.0.0.store(NOTHING, Ordering::Relaxed);
    }
}

impl Collector for InHand {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help =
            "Age of the oldest webhook in the batch in hand, which is older than any that waits behind it; 0 if idle";
        let name = "worker_oldest_in_hand_age_seconds";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(self.age_s(OffsetDateTime::now_utc())).encode(metric)
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
        assert!(in_hand.age_s(now).abs() < 1e-9);
        let messages = [aged(3, 0), aged(7, 0), aged(3600, 2)];
        let batch = in_hand.take(oldest(messages.iter()));
        assert!((in_hand.age_s(now) - 7.0).abs() < 1e-9);
        drop(batch);
        drop(in_hand.take(oldest([aged(3600, 1)].iter())));
        assert!(in_hand.age_s(now).abs() < 1e-9);
    }
}
