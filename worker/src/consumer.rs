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
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Connection, Consumer};
use shared::amqp::{LinkState, Publisher, Session, SessionError, Topology};
use shared::failpoint;
use shared::message::{self, Message};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::{Arrival, Defect, Verdict};
use crate::moves::{Moves, Relocation};
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
    /// How long a lane may hear nothing before it consumes anew.
    pub(crate) quiet: Duration,
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
        tokio::select! {
            () = self.pipeline.database_ready() => {}
            () = stop.cancelled() => return Ok(()),
        }
        while !stop.is_cancelled() {
            self.consume(connection, link, stop).await?;
        }
        Ok(())
    }
}

impl LaneConsumer {
    /// Consumes on a channel of its own until told to stop, or until it has been quiet for long. A broker can forget
    /// a consumer without a word, most of all when its queue is deleted and made anew; then messages wait that it
    /// believes delivered. Closing the channel gives them back.
    async fn consume(
        &self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(self.limits.prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(self.queue().into(), "".into(), options, FieldTable::default()).await?;
        link.send_replace(LinkState::Up);
        let (arrived, waiting) = mpsc::channel(self.limits.prefetch.into());
        let enough = stop.child_token();
        tokio::try_join!(receive(consumer, &channel, arrived, &enough), self.work(waiting, &enough, stop))?;
        channel.close(200, "done, or quiet for long".into()).await?;
        Ok(())
    }

    fn queue(&self) -> String {
        match self.lane {
            Lane::Work => self.topology.webhooks(),
            Lane::Suspect => self.topology.suspect(),
            Lane::Dead => self.topology.dead(),
        }
    }

    /// Takes what has arrived, processes it, settles it, until nothing can arrive any more. Moves to
    /// other queues go on beside it: while the broker takes no messages, their deliveries stay
    /// unacknowledged and hold up nobody.
    async fn work(
        &self,
        mut waiting: mpsc::Receiver<Delivery>,
        enough: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let mut moves = Moves::new();
        let mut batch = Vec::with_capacity(self.limits.batch_size);
        loop {
            tokio::select! {
                Some(moved) = moves.next(), if !moves.is_empty() => acknowledge_one(&moved?).await?,
                taken = waiting.recv_many(&mut batch, self.limits.batch_size) => {
                    if taken == 0 {
                        break;
                    }
                    self.observe(batch.len() + waiting.len());
                    for part in split_by_bytes(std::mem::take(&mut batch), self.limits.batch_bytes) {
                        self.handle(part, &mut moves, stop).await?;
                    }
                    self.observe(waiting.len());
                }
                () = tokio::time::sleep(self.limits.quiet), if moves.is_empty() => enough.cancel(),
            }
        }
        while let Some(moved) = moves.next().await {
            acknowledge_one(&moved?).await?;
        }
        Ok(())
    }

    /// Processes a batch, acknowledges what is settled and begins the moves of the rest.
    async fn handle<'s>(
        &'s self,
        batch: Vec<Delivery>,
        moves: &mut Moves<'s>,
        stop: &'s CancellationToken,
    ) -> Result<(), SessionError> {
        let mut ackers = Vec::with_capacity(batch.len());
        let mut arrivals = Vec::with_capacity(batch.len());
        for delivery in batch {
            let deliveries = message::delivery_count(&delivery.properties);
            let (acker, arrival) = self.arrival(delivery);
            if self.is_suspect(&arrival, deliveries) {
                self.note_isolated(&arrival.message, deliveries);
                moves.push(self.relocation(acker, self.topology.suspect(), arrival.message).run(stop).boxed());
            } else {
                ackers.push((acker, arrival.message.clone()));
                arrivals.push(arrival);
            }
        }
        let verdicts = self.pipeline.process(arrivals).await;
        let mut settled = Vec::with_capacity(ackers.len());
        for ((acker, mut message), verdict) in ackers.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Ack => settled.push(acker),
                Verdict::Retry(delay) => {
                    message.attempt = message.attempt.saturating_add(1);
                    moves.push(self.relocation(acker, self.topology.retry(delay), message).run(stop).boxed());
                }
            }
        }
        failpoint::reach("worker.before-ack");
        acknowledge(&settled, moves.is_empty()).await
    }

    fn observe(&self, in_flight: usize) {
        if self.lane == Lane::Work {
            self.pipeline.metrics.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        }
    }

    /// A crash burns the delivery count of every prefetched neighbour alike; so what was delivered
    /// often is not judged, it is run alone. What cannot be read is parked anyway, unplanned.
    fn is_suspect(&self, arrival: &Arrival, deliveries: i64) -> bool {
        self.lane == Lane::Work && arrival.defect.is_none() && deliveries >= self.limits.suspect_after
    }

    fn note_isolated(&self, message: &Message, deliveries: i64) {
        self.pipeline.metrics.isolated.inc();
        tracing::warn!(
            webhook.source = %message.source,
            webhook.id = message.id,
            deliveries,
            "delivered often without being settled; it will be run alone"
        );
    }

    fn relocation(&self, acker: Acker, queue: String, message: Message) -> Relocation {
        Relocation { acker, queue, message, publisher: self.publisher.clone() }
    }

    fn arrival(&self, delivery: Delivery) -> (Acker, Arrival) {
        let body = Bytes::from(delivery.data);
        let dead = (self.lane == Lane::Dead).then_some(Defect::DeadLettered);
        let arrival = match message::decode(&delivery.properties, body.clone()) {
            Ok(message) => Arrival { message, defect: dead },
            Err(error) => Arrival {
                message: message::salvage(&delivery.properties, body),
                defect: dead.or(Some(Defect::Unreadable(error))),
            },
        };
        (delivery.acker, arrival)
    }
}

/// Acknowledges settled deliveries: in one word when nothing before them is open, else one by one.
async fn acknowledge(settled: &[Acker], nothing_open: bool) -> Result<(), SessionError> {
    if nothing_open {
        // Batches are settled in the order of delivery, so all up to the last one are settled.
        return match settled.last() {
            Some(last) => acknowledge_up_to(last).await,
            None => Ok(()),
        };
    }
    for acker in settled {
        acknowledge_one(acker).await?;
    }
    Ok(())
}

async fn acknowledge_up_to(last: &Acker) -> Result<(), SessionError> {
    sent(last.ack(BasicAckOptions { multiple: true }).await?)
}

async fn acknowledge_one(acker: &Acker) -> Result<(), SessionError> {
    sent(acker.ack(BasicAckOptions { multiple: false }).await?)
}

/// lapin says `false` when the channel has gone and nothing was sent.
fn sent(was_sent: bool) -> Result<(), SessionError> {
    if was_sent { Ok(()) } else { Err(SessionError::Broken("an acknowledgement could not be sent")) }
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

/// Hands deliveries on until the consumer ends. Told that it is enough, it cancels the consumer and
/// hands on what the broker had already sent.
async fn receive(
    mut consumer: Consumer,
    channel: &Channel,
    arrived: mpsc::Sender<Delivery>,
    enough: &CancellationToken,
) -> Result<(), SessionError> {
    let mut cancelled = false;
    loop {
        tokio::select! {
            () = enough.cancelled(), if !cancelled => {
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
