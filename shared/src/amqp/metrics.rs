//! What is counted of the traffic with the broker, by the names of OpenTelemetry's messaging conventions
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/>).
//!
//! Counted is what this process asked for and heard. A publish that nobody waited for to its end is not counted.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::PublishError;
use crate::config::QueueConfig;
use crate::metrics::{durations, register_limit};

/// What OpenTelemetry calls the broker.
const SYSTEM: &str = "rabbitmq";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    messaging_system: &'static str,
    messaging_destination_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    messaging_system: &'static str,
    messaging_operation_name: &'static str,
    messaging_destination_name: String,
    /// Empty, which is as good as not there, where it succeeded.
    error_type: &'static str,
}

/// Counts publishes and deliveries. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct MessagingMetrics {
    durations: Family<Operation, Histogram, fn() -> Histogram>,
    sent: Family<Operation, Counter>,
    consumed: Family<Destination, Counter>,
    pub(super) in_flight: InFlightGauges,
}

/// What one publisher has in flight: published and not yet confirmed.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlightGauges {
    pub(super) messages: Gauge,
    pub(super) bytes: Gauge,
}

impl InFlightGauges {
    pub(super) fn set(&self, messages: usize, bytes: usize) {
        self.messages.set(i64::try_from(messages).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Default for MessagingMetrics {
    fn default() -> Self {
        Self {
            durations: Family::new_with_constructor(durations),
            sent: Family::default(),
            consumed: Family::default(),
            in_flight: InFlightGauges::default(),
        }
    }
}

impl MessagingMetrics {
    /// Registers what every service has that publishes, and the limits of what may be in flight.
    pub fn register(&self, registry: &mut Registry, limits: &QueueConfig) {
        registry.register(
            "messaging_client_operation_duration_seconds",
            "From handing a message in to the broker's confirm, or to giving up",
            self.durations.clone(),
        );
        registry.register(
            "messaging_client_sent_messages",
            "Messages handed in to be published, by queue and error",
            self.sent.clone(),
        );
        let (messages, bytes) = ("oncehook_publish_window_messages", "oncehook_publish_window_bytes");
        registry.register(messages, "Messages published and not yet confirmed", self.in_flight.messages.clone());
        let help = "Beyond this many, messages wait to be published (queue.publish_window)";
        register_limit(registry, messages, help, limits.publish_window);
        registry.register(
            bytes,
            "Bytes of the bodies of messages published and not yet confirmed",
            self.in_flight.bytes.clone(),
        );
        let help =
            "Beyond this many, messages wait to be published; a larger body goes alone (queue.publish_window_bytes)";
        register_limit(registry, bytes, help, limits.publish_window_bytes);
    }

    /// Registers what a service has besides that consumes.
    pub fn register_consumer(&self, registry: &mut Registry) {
        registry.register(
            "messaging_client_consumed_messages",
            "Deliveries taken, repeated ones too, by queue",
            self.consumed.clone(),
        );
    }

    /// Lets a queue's series exist before anything is published to it.
    pub fn expect(&self, queue: &str) {
        drop(self.durations.get_or_create(&publish(queue, "")));
        drop(self.sent.get_or_create(&publish(queue, "")));
    }

    /// The deliveries of a queue.
    #[must_use]
    pub fn consumed(&self, queue: &str) -> Counter {
        let queue = Destination { messaging_system: SYSTEM, messaging_destination_name: queue.to_owned() };
        self.consumed.get_or_create_owned(&queue)
    }

    /// A message was published, or was not.
    pub(super) fn published(&self, queue: &str, outcome: Result<(), PublishError>, took: Duration) {
        let operation = publish(queue, outcome.err().map_or("", PublishError::code));
        self.durations.get_or_create(&operation).observe(took.as_secs_f64());
        self.sent.get_or_create(&operation).inc();
    }
}

fn publish(queue: &str, error_type: &'static str) -> Operation {
    Operation {
        messaging_system: SYSTEM,
        messaging_operation_name: "publish",
        messaging_destination_name: queue.to_owned(),
        error_type,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn what_was_not_published_is_counted_by_why() {
        let (metrics, mut registry) = (MessagingMetrics::default(), Registry::default());
        metrics.register(&mut registry, &QueueConfig::default());
        metrics.expect("webhooks");
        metrics.published("webhooks", Ok(()), Duration::from_millis(3));
        metrics.published("webhooks", Err(PublishError::Lost), Duration::from_secs(1));
        metrics.published("webhooks", Err(PublishError::Lost), Duration::from_secs(1));
        let mut said = String::new();
        encode(&mut said, &registry).unwrap();
        let sent = |error: &str, count: u32| {
            format!(
                "messaging_client_sent_messages_total{{messaging_system=\"rabbitmq\",messaging_operation_name=\"publish\",\
                 messaging_destination_name=\"webhooks\",error_type=\"{error}\"}} {count}\n"
            )
        };
        assert!(said.contains(&sent("", 1)) && said.contains(&sent("lost", 2)), "{said}");
    }
}
