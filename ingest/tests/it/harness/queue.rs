//! The real broker, seen from behind ingest.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use shared::amqp::Topology;
use shared::config::QueueConfig;
use shared::message::{self, Message};
use uuid::Uuid;

use super::{setting, until};

/// A test's own corner of the broker.
pub(crate) struct Broker {
    pub(crate) prefix: String,
    connection: Connection,
    channel: Channel,
}

impl Broker {
    pub(crate) async fn connect() -> Self {
        let connection = Connection::connect(&setting("AMQP_URL"), ConnectionProperties::default())
            .await
            .expect("RabbitMQ does not answer at AMQP_URL; run `make test`");
        let channel = connection.create_channel().await.unwrap();
        Self { prefix: format!("test.{}.", Uuid::new_v4().simple()), connection, channel }
    }

    /// The queue that ingest publishes to.
    pub(crate) fn webhooks(&self) -> String {
        format!("{}webhooks", self.prefix)
    }

    /// Takes the next message off the queue, waiting for it.
    pub(crate) async fn take(&self) -> Message {
        let raw = self.take_raw().await;
        message::decode(&raw.delivery.properties, raw.delivery.data.into()).unwrap()
    }

    /// The same, as the broker gave it.
    pub(crate) async fn take_raw(&self) -> BasicGetMessage {
        let raw = until("a message is on the queue", async || self.get().await).await;
        raw.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        raw
    }

    /// Takes the next message off the queue; everything beside its body, readable.
    pub(crate) async fn take_properties(&self) -> String {
        let properties = self.take_raw().await.delivery.properties.clone();
        let headers = properties.headers().clone().unwrap_or_default();
        format!("{properties:?} {}", readable(&headers))
    }

    /// Whether the queue is empty.
    pub(crate) async fn is_empty(&self) -> bool {
        self.get().await.is_none()
    }

    /// Makes the queue that ingest publishes to, before ingest does and with other arguments.
    pub(crate) async fn make_other_webhooks(&self) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(self.webhooks().into(), options, FieldTable::default()).await.unwrap();
    }

    pub(crate) async fn delete_webhooks(&self) {
        self.delete(&self.webhooks()).await;
    }

    /// Deletes every queue of the test.
    pub(crate) async fn clean_up(&self) {
        let config = QueueConfig { prefix: self.prefix.clone(), retry_delays_s: vec![5], ..QueueConfig::default() };
        for name in Topology::new(&config).names() {
            self.delete(&name).await;
        }
        self.connection.close(200, "done".into()).await.unwrap();
    }

    async fn delete(&self, queue: &str) {
        // Deleting a queue that isn't there is no error.
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn get(&self) -> Option<BasicGetMessage> {
        self.channel.basic_get(self.webhooks().as_str().into(), BasicGetOptions { no_ack: false }).await.unwrap()
    }
}

/// Header for header, and what stands inside of them.
fn readable(table: &FieldTable) -> String {
    let value = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::FieldTable(table) => readable(table),
        other => format!("{other:?}"),
    };
    table.inner().iter().map(|(name, inner)| format!("{name}={}\n", value(inner))).collect()
}
