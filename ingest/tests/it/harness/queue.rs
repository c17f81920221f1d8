//! The real broker, seen from behind ingest.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeleteOptions};
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
}

impl Broker {
    pub(crate) async fn connect() -> Self {
        let connection = Connection::connect(&setting("AMQP_URL"), ConnectionProperties::default())
            .await
            .expect("RabbitMQ does not answer at AMQP_URL; run `make test`");
        Self { prefix: format!("test.{}.", Uuid::new_v4().simple()), connection }
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
        let channel = self.channel().await;
        let raw = until("a message is on the queue", async || self.get(&channel).await).await;
        raw.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        raw
    }

    /// Whether the queue is empty.
    pub(crate) async fn is_empty(&self) -> bool {
        let channel = self.channel().await;
        self.get(&channel).await.is_none()
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
        let channel = self.channel().await;
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn get(&self, channel: &Channel) -> Option<BasicGetMessage> {
        channel.basic_get(self.webhooks().as_str().into(), BasicGetOptions { no_ack: false }).await.unwrap()
    }

    async fn channel(&self) -> Channel {
        self.connection.create_channel().await.unwrap()
    }
}
