//! The bare publisher: lapin on one connection and one channel, its confirms pipelined, and nothing else.
//!
//! A limit for ingest that pays neither HTTP nor a load generator, and what fills the queue for the workers.

use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use secrecy::SecretString;
use shared::message::{self, Message};
use uuid::Uuid;

use crate::load::{Load, Span, Tally, pace};
use crate::queue;
use crate::shop::Shop;

/// AMQP's persistent delivery mode.
const PERSISTENT: u8 = 2;

/// A channel in confirm mode, and the queue that it publishes to.
pub(crate) struct Publisher {
    _connection: Connection,
    channel: Channel,
    queue: String,
    /// What each message has beside its body and its id.
    properties: BasicProperties,
}

impl Publisher {
    /// Connects.
    ///
    /// # Errors
    /// When the broker is not there.
    pub(crate) async fn connect(amqp_url: &SecretString, queue: String) -> anyhow::Result<Self> {
        let connection = queue::connect(amqp_url).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        Ok(Self { _connection: connection, channel, queue, properties })
    }

    /// From now on, every message has the header and the properties of this one.
    ///
    /// # Errors
    /// When they fit into no message.
    pub(crate) fn like(self, message: &Message) -> anyhow::Result<Self> {
        Ok(Self { properties: message::encode(message)?, ..self })
    }

    /// Publishes one body under an id and waits for its confirm.
    ///
    /// # Errors
    /// When it is not confirmed, or comes back.
    pub(crate) async fn publish(&self, id: &str, body: &[u8]) -> anyhow::Result<()> {
        self.publish_with(self.properties.clone().with_message_id(id.into()), body).await
    }

    async fn publish_with(&self, properties: BasicProperties, body: &[u8]) -> anyhow::Result<()> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let publishing = self.channel.basic_publish("".into(), self.queue.as_str().into(), options, body, properties);
        let confirmation = publishing.await?.await?;
        anyhow::ensure!(confirmation == Confirmation::Ack(None), "not confirmed: {confirmation:?}");
        Ok(())
    }

    /// Keeps so many publishes in flight for a time.
    ///
    /// # Errors
    /// When one is not confirmed.
    pub(crate) async fn closed(&self, shop: &mut Shop, in_flight: usize, span: Span) -> anyhow::Result<Load> {
        let bodies: Vec<_> = (0..in_flight).map(|_| shop.body()).collect();
        let mut tally = Tally::begin(span)?;
        let mut publishing = FuturesUnordered::new();
        for body in bodies {
            publishing.push(self.publish_again(body));
        }
        while let Some(published) = publishing.next().await {
            let (body, start) = published?;
            tally.count(start, Instant::now());
            if Instant::now() < tally.end() {
                publishing.push(self.publish_again(body));
            }
        }
        tally.finish()
    }

    /// Publishes under a fresh id, and gives the body back with the time at which it began.
    async fn publish_again(&self, body: Bytes) -> anyhow::Result<(Bytes, Instant)> {
        let start = Instant::now();
        self.publish(&Uuid::from_u128(fastrand::u128(..)).to_string(), &body).await?;
        Ok((body, start))
    }

    /// Publishes a body at a rate, whether or not the earlier ones are confirmed.
    ///
    /// # Errors
    /// When one is not confirmed.
    pub(crate) async fn open(&self, body: Bytes, per_second: f64, span: Span) -> anyhow::Result<Load> {
        let mut tally = Tally::begin(span)?;
        let mut moments = pace(per_second, span.warm_up + span.counted);
        let one = async |intended: Instant| {
            self.publish(&Uuid::from_u128(fastrand::u128(..)).to_string(), &body).await?;
            anyhow::Ok(intended)
        };
        let mut publishing = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(published) = publishing.next() => {
                    let intended = published?;
                    tally.count(intended, intended);
                }
                Some(intended) = moments.recv() => publishing.push(one(intended)),
                else => return tally.finish(),
            }
        }
    }

    /// Puts so many webhooks on the queue, as ingest would have.
    ///
    /// # Errors
    /// When one is not confirmed.
    pub(crate) async fn fill(&self, shop: &mut Shop, count: usize) -> anyhow::Result<()> {
        const IN_FLIGHT: usize = 512;
        let mut publishing = FuturesUnordered::new();
        for _ in 0..count {
            if publishing.len() == IN_FLIGHT
                && let Some(published) = publishing.next().await
            {
                let published: anyhow::Result<()> = published;
                published?;
            }
            let message = shop.message();
            publishing.push(async move { self.publish_with(message::encode(&message)?, &message.body).await });
        }
        while let Some(published) = publishing.next().await {
            published?;
        }
        Ok(())
    }
}
