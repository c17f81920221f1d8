//! Every queue with every argument, declared the same by all services.
//!
//! Messages go to the default exchange with the queue's name and `mandatory`: there is no
//! exchange, binding or alternate to lose them in. All queues are quorum queues, and every
//! argument is explicit, so that RabbitMQ 3.10 to 4.x agree on what they are.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ErrorKind};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::QueueConfig;

/// Deliveries before the broker itself dead-letters a message: the last line of defence.
const DELIVERY_LIMIT: i64 = 20;
/// The same for suspects, which are run alone.
const SUSPECT_DELIVERY_LIMIT: i64 = 5;
/// For queues that must never drop by count. 3.10 takes -1 and then drops at the first return;
/// 4.x defaults to 20.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// The queues of one installation.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
    max_bytes: i64,
    retry_delays: Vec<Duration>,
    /// 1 for a queue that exists with other arguments than these.
    differing: Family<QueueLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: String,
}

/// One queue to declare.
pub(super) struct QueueSpec {
    pub(super) name: String,
    pub(super) arguments: FieldTable,
}

/// How full a queue is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QueueDepth {
    /// The queue's name.
    pub queue: String,
    /// Messages ready for delivery, and how many consumers wait; `None` when there is no such
    /// queue. Messages that a worker holds are not counted.
    pub ready: Option<u32>,
    /// Consumers attached to it.
    pub consumers: Option<u32>,
}

/// Why a queue could not be declared.
#[derive(Debug, thiserror::Error)]
#[error("cannot declare queue {queue}")]
pub struct TopologyError {
    queue: String,
    #[source]
    source: lapin::Error,
}

impl Topology {
    /// The queues that a configuration names.
    #[must_use]
    pub fn new(config: &QueueConfig) -> Self {
        Self {
            prefix: config.prefix.clone(),
            max_bytes: config.max_bytes,
            retry_delays: config.retry_delays(),
            differing: Family::default(),
        }
    }

    /// Registers what is noticed when the queues are declared, here and by all clones.
    pub fn register(&self, registry: &mut Registry) {
        let help = "1 while the queue exists with other arguments than are configured, and is used as it is";
        registry.register("webhook_queue_arguments_differ", help, self.differing.clone());
    }

    /// The work queue.
    #[must_use]
    pub fn webhooks(&self) -> String {
        format!("{}webhooks", self.prefix)
    }

    /// Where a worker puts the webhooks of a body that holds several. It takes whatever its length: a worker holds the
    /// body until they are all there, and where a full queue refused them, it would hold it for ever.
    #[must_use]
    pub fn elements(&self) -> String {
        format!("{}webhooks.elements", self.prefix)
    }

    /// Where messages run alone that were delivered too often.
    #[must_use]
    pub fn suspect(&self) -> String {
        format!("{}webhooks.suspect", self.prefix)
    }

    /// Where the broker puts what it gave up on, until a worker parks it.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}webhooks.dead", self.prefix)
    }

    /// The queue that holds a message for a delay and then gives it back to the work queue.
    #[must_use]
    pub fn retry(&self, delay: Duration) -> String {
        format!("{}webhooks.retry.{}", self.prefix, delay_name(delay))
    }

    /// All names, the work queue first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.specs().into_iter().map(|spec| spec.name).collect()
    }

    /// Declares every queue. A queue that exists with other arguments is used as it is, with a
    /// warning: refusing to work would lose more than it saves.
    ///
    /// # Errors
    /// When the broker refuses a declaration for another reason.
    pub async fn declare(&self, connection: &Connection) -> Result<(), TopologyError> {
        for spec in self.specs() {
            let differs = self.differing.get_or_create_owned(&QueueLabels { queue: spec.name.clone() });
            match declare(connection, &spec.name, spec.arguments, false).await {
                Ok(_) => {
                    differs.set(0);
                }
                Err(error) if is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED) => {
                    differs.set(1);
                    tracing::warn!(
                        queue = spec.name,
                        %error,
                        "the queue exists with other arguments and is used as it is; drain and delete it to have it made anew"
                    );
                }
                Err(source) => return Err(TopologyError { queue: spec.name, source }),
            }
        }
        Ok(())
    }

    /// How full each queue is. Asks with passive declarations, which touch no message.
    ///
    /// # Errors
    /// When the broker fails to answer; a missing queue is no error.
    pub async fn depths(&self, connection: &Connection) -> Result<Vec<QueueDepth>, TopologyError> {
        let mut depths = Vec::new();
        for queue in self.names() {
            let (ready, consumers) = match declare(connection, &queue, FieldTable::default(), true).await {
                Ok(found) => (Some(found.message_count()), Some(found.consumer_count())),
                Err(error) if is_soft(&error, &AMQPSoftError::NOTFOUND) => (None, None),
                Err(source) => return Err(TopologyError { queue, source }),
            };
            depths.push(QueueDepth { queue, ready, consumers });
        }
        Ok(depths)
    }

    pub(super) fn specs(&self) -> Vec<QueueSpec> {
        let mut specs = vec![
            QueueSpec { name: self.webhooks(), arguments: self.bounded_arguments(DELIVERY_LIMIT) },
            QueueSpec { name: self.elements(), arguments: self.unbounded_arguments(DELIVERY_LIMIT) },
            QueueSpec { name: self.suspect(), arguments: self.bounded_arguments(SUSPECT_DELIVERY_LIMIT) },
            QueueSpec { name: self.dead(), arguments: quorum(NO_DELIVERY_LIMIT) },
        ];
        specs.extend(
            self.retry_delays
                .iter()
                .map(|delay| QueueSpec { name: self.retry(*delay), arguments: self.retry_arguments(*delay) }),
        );
        specs
    }

    /// Of a queue that workers take from, and that refuses beyond its bytes.
    fn bounded_arguments(&self, delivery_limit: i64) -> FieldTable {
        let mut arguments = self.unbounded_arguments(delivery_limit);
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(self.max_bytes));
        arguments
    }

    fn unbounded_arguments(&self, delivery_limit: i64) -> FieldTable {
        let mut arguments = quorum(delivery_limit);
        dead_letter_to(&mut arguments, &self.dead());
        arguments
    }

    /// A queue-level TTL, one queue a delay: a per-message TTL would wait behind the head.
    fn retry_arguments(&self, delay: Duration) -> FieldTable {
        let mut arguments = quorum(NO_DELIVERY_LIMIT);
        let ttl_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(ttl_ms));
        dead_letter_to(&mut arguments, &self.webhooks());
        arguments
    }
}

fn quorum(delivery_limit: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(delivery_limit));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// At-least-once dead-lettering; without `reject-publish` (above) it would be silently off.
fn dead_letter_to(arguments: &mut FieldTable, queue: &str) {
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A channel for each declaration: the broker closes it when it refuses.
pub(super) async fn declare(
    connection: &Connection,
    queue: &str,
    arguments: FieldTable,
    passive: bool,
) -> Result<lapin::Queue, lapin::Error> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive, durable: true, exclusive: false, auto_delete: false, nowait: false };
    let declared = channel.queue_declare(queue.into(), options, arguments).await?;
    channel.close(200, "declared".into()).await?;
    Ok(declared)
}

pub(super) fn is_soft(error: &lapin::Error, kind: &AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(soft) if soft == kind))
}

/// `5s`, `2m`, `1h`: the largest unit that divides the delay.
fn delay_name(delay: Duration) -> String {
    match delay.as_secs() {
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_queues_have_the_documented_names() {
        let topology = Topology::new(&QueueConfig::default());
        insta::assert_snapshot!(topology.names().join("\n"), @r"
        webhooks
        webhooks.elements
        webhooks.suspect
        webhooks.dead
        webhooks.retry.5s
        webhooks.retry.30s
        webhooks.retry.2m
        webhooks.retry.10m
        webhooks.retry.1h
        ");
    }
}
