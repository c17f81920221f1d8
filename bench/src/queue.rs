//! The queues of the instance: made anew before each measurement, so that the broker's state is the same for both sides.

use std::time::Duration;

use anyhow::Context as _;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret as _, SecretString};
use shared::amqp::Topology;
use shared::config::QueueConfig;

/// How often a drain is looked at: seldom enough not to be felt.
const INTERVAL: Duration = Duration::from_millis(200);

/// The queues, as the services declare them by default.
pub(crate) struct Queues {
    connection: Connection,
    topology: Topology,
}

impl Queues {
    /// Connects.
    ///
    /// # Errors
    /// When the broker is not there.
    pub(crate) async fn connect(amqp_url: &SecretString) -> anyhow::Result<Self> {
        let connection = connect(amqp_url).await?;
        Ok(Self { connection, topology: Topology::new(&QueueConfig::default()) })
    }

    /// The work queue's name.
    pub(crate) fn webhooks(&self) -> String {
        self.topology.webhooks()
    }

    /// Deletes every queue with whatever waits in it, and declares them again.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(crate) async fn renew(&self) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        for name in self.topology.names() {
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        channel.close(200, "renewed".into()).await?;
        Ok(self.topology.declare(&self.connection).await?)
    }

    /// Waits until nobody has anything more to take from the work queue.
    ///
    /// # Errors
    /// When messages still wait after `patience`.
    pub(crate) async fn drained(&self, patience: Duration) -> anyhow::Result<()> {
        let waiting = async {
            while self.waiting().await? > 0 {
                tokio::time::sleep(INTERVAL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(patience, waiting).await.context("the queue was not drained in time")?
    }

    /// Messages that are ready in the work queue.
    ///
    /// # Errors
    /// When the broker does not say.
    pub(crate) async fn waiting(&self) -> anyhow::Result<u32> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(self.webhooks().as_str().into(), options, FieldTable::default()).await?;
        channel.close(200, "counted".into()).await?;
        Ok(queue.message_count())
    }
}

/// A plain connection, as anybody would make it.
///
/// # Errors
/// When the broker is not there.
pub(crate) async fn connect(amqp_url: &SecretString) -> anyhow::Result<Connection> {
    let connecting = Connection::connect(amqp_url.expose_secret(), ConnectionProperties::default());
    connecting.await.context("no connection to the broker")
}
