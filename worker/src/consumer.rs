//! The consumer: the only place where a verdict becomes an acknowledgement or a retry.
//!
//! Each lane (work, suspects, dead letters) has a connection, a channel and a queue of its own.
//! Whatever has arrived while a batch was processed is the next batch: there is no timer, and an
//! idle lane waits for nothing.
//!
//! Invariant: a delivery is acknowledged only when what became of it is committed in Postgres or
//! confirmed on another queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use shared::amqp::{LinkState, Publisher, Session, SessionError, Topology};
use shared::message::{self, Message};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::batch::{Arrival, Defect, Verdict};
use crate::pipeline::Pipeline;

/// Which queue a consumer takes from, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The work queue, in batches.
    Work,
    /// Messages that were delivered too often, one at a time: the innocent pass, and poison
    /// reaches the broker's delivery limit.
    Suspect,
    /// What the broker gave up; it is parked unread.
    Dead,
}

/// One lane's consumer.
pub(crate) struct LaneConsumer {
    pub(crate) lane: Lane,
    pub(crate) topology: Topology,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) publisher: Publisher,
    pub(crate) limits: LaneLimits,
}

/// How much a lane holds at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    /// The most webhooks in one transaction.
    pub(crate) batch_size: usize,
    /// The most bytes of bodies in one transaction.
    pub(crate) batch_bytes: usize,
    /// Unacknowledged deliveries.
    pub(crate) prefetch: u16,
    /// Deliveries after which a message goes to the suspects.
    pub(crate) suspect_after: i64,
}

impl Session for LaneConsumer {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        self.topology.declare(connection).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(self.limits.prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(self.queue().into(), "".into(), options, FieldTable::default()).await?;
        link.send_replace(LinkState::Up);
        let (arrived, waiting) = mpsc::channel(self.limits.prefetch.into());
        tokio::try_join!(receive(consumer, &channel, arrived, stop), self.work(waiting, stop))?;
        Ok(())
    }
}

impl LaneConsumer {
    fn queue(&self) -> String {
        match self.lane {
            Lane::Work => self.topology.webhooks(),
            Lane::Suspect => self.topology.suspect(),
            Lane::Dead => self.topology.dead(),
        }
    }

    /// Takes what has arrived, processes it, settles it, until nothing can arrive any more.
    async fn work(&self, mut waiting: mpsc::Receiver<Delivery>, stop: &CancellationToken) -> Result<(), SessionError> {
        let metrics = &self.pipeline.metrics;
        let mut batch = Vec::with_capacity(self.limits.batch_size);
        while waiting.recv_many(&mut batch, self.limits.batch_size).await > 0 {
            if self.lane == Lane::Work {
                metrics.in_flight.set(i64::try_from(batch.len() + waiting.len()).unwrap_or(i64::MAX));
            }
            for part in split_by_bytes(std::mem::take(&mut batch), self.limits.batch_bytes) {
                self.handle(part, stop).await?;
            }
            if self.lane == Lane::Work {
                metrics.in_flight.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
            }
        }
        Ok(())
    }

    async fn handle(&self, batch: Vec<Delivery>, stop: &CancellationToken) -> Result<(), SessionError> {
        let Some(last) = batch.last().map(|delivery| delivery.acker.clone()) else { return Ok(()) };
        let (suspects, deliveries): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|delivery| self.lane == Lane::Work && self.is_suspect(delivery));
        let arrivals: Vec<Arrival> = deliveries.into_iter().map(|delivery| self.arrival(delivery)).collect();
        let messages: Vec<Message> = arrivals.iter().map(|arrival| arrival.message.clone()).collect();
        for delivery in suspects {
            self.isolate(delivery, stop).await?;
        }
        for (message, verdict) in messages.into_iter().zip(self.pipeline.process(arrivals).await) {
            if let Verdict::Retry(delay) = verdict {
                self.send_to_ladder(message, delay, stop).await?;
            }
        }
        // Batches are settled in the order of delivery, so all up to the last one are settled now.
        if last.ack(BasicAckOptions { multiple: true }).await? {
            Ok(())
        } else {
            Err(SessionError::Broken("an acknowledgement could not be sent"))
        }
    }

    /// A crash burns the delivery count of every prefetched neighbour alike; so what was delivered
    /// often is not judged, it is run alone.
    fn is_suspect(&self, delivery: &Delivery) -> bool {
        delivery_count(delivery) >= self.limits.suspect_after
    }

    async fn isolate(&self, delivery: Delivery, stop: &CancellationToken) -> Result<(), SessionError> {
        let deliveries = delivery_count(&delivery);
        let arrival = self.arrival(delivery);
        tracing::warn!(
            webhook.source = %arrival.message.source, webhook.id = arrival.message.id, deliveries,
            "delivered often without being settled; it will be run alone"
        );
        self.pipeline.metrics.isolated.inc();
        self.publish(&self.topology.suspect(), &arrival.message, stop).await
    }

    async fn send_to_ladder(
        &self,
        mut message: Message,
        delay: Duration,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        message.attempt = message.attempt.saturating_add(1);
        self.publish(&self.topology.retry(delay), &message, stop).await
    }

    /// Publishes with a confirm, again and again until it is confirmed. A second copy is absorbed
    /// by the claim. Told to stop, it gives up: the message stays unacknowledged where it was.
    async fn publish(&self, queue: &str, message: &Message, stop: &CancellationToken) -> Result<(), SessionError> {
        let mut backoff = Backoff::new();
        loop {
            match self.publisher.publish(queue, message).await {
                Ok(()) => return Ok(()),
                Err(_) if stop.is_cancelled() => return Err(SessionError::Broken("stopping")),
                Err(error) => {
                    tracing::warn!(queue, webhook.id = message.id, %error, "not confirmed; publishing again");
                    backoff.pause().await;
                }
            }
        }
    }

    fn arrival(&self, delivery: Delivery) -> Arrival {
        let body = Bytes::from(delivery.data);
        let dead = (self.lane == Lane::Dead).then_some(Defect::DeadLettered);
        match message::decode(&delivery.properties, body.clone()) {
            Ok(message) => Arrival { message, defect: dead },
            Err(error) => Arrival {
                message: message::salvage(&delivery.properties, body),
                defect: dead.or(Some(Defect::Unreadable(error))),
            },
        }
    }
}

/// Cuts a batch, in order, into parts of at most `limit` bytes; a body beyond it is a part alone.
fn split_by_bytes(batch: Vec<Delivery>, limit: usize) -> Vec<Vec<Delivery>> {
    let mut parts: Vec<Vec<Delivery>> = Vec::new();
    let mut bytes = 0;
    for delivery in batch {
        let size = delivery.data.len();
        match parts.last_mut() {
            Some(part) if bytes + size <= limit => {
                bytes += size;
                part.push(delivery);
            }
            _ => {
                bytes = size;
                parts.push(vec![delivery]);
            }
        }
    }
    parts
}

/// Hands deliveries on until the consumer ends. Told to stop, it cancels the consumer and hands on
/// what the broker had already sent.
async fn receive(
    mut consumer: Consumer,
    channel: &Channel,
    arrived: mpsc::Sender<Delivery>,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    let mut cancelled = false;
    loop {
        tokio::select! {
            () = stop.cancelled(), if !cancelled => {
                cancelled = true;
                channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
            }
            delivery = consumer.next() => match delivery {
                Some(delivery) => {
                    if arrived.send(delivery?).await.is_err() {
                        return Ok(()); // the work has ended with an error of its own
                    }
                }
                None if cancelled => return Ok(()),
                None => return Err(SessionError::Broken("the broker cancelled the consumer")),
            },
        }
    }
}

/// How often a quorum queue has delivered a message before.
fn delivery_count(delivery: &Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("x-delivery-count")) {
        Some(AMQPValue::LongLongInt(count)) => *count,
        Some(AMQPValue::LongInt(count)) => (*count).into(),
        Some(AMQPValue::LongUInt(count)) => (*count).into(),
        Some(AMQPValue::ShortInt(count)) => (*count).into(),
        Some(AMQPValue::ShortShortInt(count)) => (*count).into(),
        Some(AMQPValue::ShortShortUInt(count)) => (*count).into(),
        Some(AMQPValue::ShortUInt(count)) => (*count).into(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_in_order_and_a_large_body_goes_alone() {
        let sizes = [3, 3, 4, 1, 50, 9, 1, 1];
        let delivery = |(tag, size)| Delivery::mock(tag, "".into(), "q".into(), false, vec![0; size]);
        let parts = split_by_bytes((1..).zip(sizes).map(delivery).collect(), 10);
        let cut: Vec<Vec<usize>> = parts.iter().map(|part| part.iter().map(|one| one.data.len()).collect()).collect();
        assert_eq!(cut, [vec![3, 3, 4], vec![1], vec![50], vec![9, 1], vec![1]]);
        let tags: Vec<u64> = parts.iter().flatten().map(|delivery| delivery.delivery_tag).collect();
        assert_eq!(tags, (1..=8).collect::<Vec<u64>>());
    }
}
