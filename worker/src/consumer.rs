//! The consumer: takes deliveries, and says to the broker what the lane's [`Desk`] decides.
//!
//! Each lane (work, elements, suspects, dead letters) has a connection, a channel and a queue of its own.
//! Whatever has arrived while a batch was processed is the next batch: there is no timer, and an
//! idle lane waits for nothing.
//!
//! Invariant: a delivery is acknowledged only when what became of it is committed in Postgres or
//! confirmed on another queue.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use prometheus_client::metrics::counter::Counter;
use shared::amqp::{LinkState, Publisher, Session, SessionError, Topology, set_up};
use shared::failpoint;
use shared::message::{self, Message};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::{Arrival, Defect};
use crate::batcher::cut_by_bytes;
use crate::lane::{Desk, Destination, Held, Lane, Move, Scatter, Sorted, Sorter, Taken};
use crate::moves::{Moves, Relocation, Scattering};
use crate::pipeline::{Pipeline, Prepared};
use crate::receipt::{Place, Receipt, acknowledge};
use crate::spans::Spans;

/// One is planned while the one before it commits.
const BATCHES_IN_WORK: usize = 2;

/// A batch that was sorted and planned.
struct PlannedBatch {
    held: Vec<Held<Receipt>>,
    isolated: Vec<Move<Receipt>>,
    prepared: Prepared,
}

/// One lane's consumer.
pub(crate) struct LaneConsumer {
    pub(crate) lane: Lane,
    pub(crate) topology: Topology,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) publisher: Publisher,
    /// Deliveries taken from the lane's queue.
    pub(crate) consumed: Counter,
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
        let declared = async { Ok(self.topology.declare(connection).await?) };
        let Some(()) = set_up(stop, declared).await? else { return Ok(()) };
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
        let Some((channel, consumer)) = set_up(stop, self.open(connection)).await? else { return Ok(()) };
        link.send_replace(LinkState::Up);
        let (arrived, waiting) = mpsc::channel(self.limits.prefetch.into());
        let enough = stop.child_token();
        let receiving = self.receive(consumer, &channel, arrived, &enough);
        tokio::try_join!(receiving, self.work(waiting, &enough, stop))?;
        channel.close(200, "done, or quiet for long".into()).await?;
        Ok(())
    }

    async fn open(&self, connection: &Connection) -> Result<(Channel, Consumer), SessionError> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(self.limits.prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(self.queue().into(), "".into(), options, FieldTable::default()).await?;
        Ok((channel, consumer))
    }

    fn queue(&self) -> String {
        queue(self.lane, &self.topology)
    }

    /// Hands deliveries on until the consumer ends. Told that it is enough, it cancels the consumer and
    /// hands on what the broker had already sent.
    async fn receive(
        &self,
        mut consumer: Consumer,
        channel: &Channel,
        arrived: mpsc::Sender<Taken<Receipt>>,
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
                        if arrived.send(self.taken(delivery?)).await.is_err() {
                            return Ok(()); // the work has ended with an error of its own
                        }
                    }
                    None if cancelled => return Ok(()),
                    None => return Err(SessionError::Broken("the broker cancelled the consumer")),
                },
            }
        }
    }

    /// Takes what has arrived, processes it, settles it, until nothing can arrive any more. The next batch is planned
    /// while this one commits. Moves to other queues go on beside it: while the broker takes no messages, their
    /// deliveries stay unacknowledged and hold up nobody.
    async fn work(
        &self,
        waiting: mpsc::Receiver<Taken<Receipt>>,
        enough: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let mut moves = Moves::new();
        let mut desk = Desk::default();
        let mut planned = pin!(self.planned(waiting));
        loop {
            tokio::select! {
                Some(moved) = moves.next(), if !moves.is_empty() => acknowledge(desk.moved(moved?)).await?,
                batch = planned.next() => match batch {
                    Some(batch) => self.settle(batch, &mut desk, &mut moves, stop).await?,
                    None => break,
                },
                () = tokio::time::sleep(self.limits.quiet), if moves.is_empty() => enough.cancel(),
            }
        }
        while let Some(moved) = moves.next().await {
            acknowledge(desk.moved(moved?)).await?;
        }
        Ok(())
    }

    /// The batches, sorted and planned, in the order of delivery. Planning is done on a thread of its own: what has been
    /// begun goes on while nobody asks for it.
    fn planned(&self, waiting: mpsc::Receiver<Taken<Receipt>>) -> impl Stream<Item = PlannedBatch> {
        let sorter = Sorter { lane: self.lane, suspect_after: self.limits.suspect_after };
        let batches = stream::unfold(waiting, async |mut waiting| {
            let mut batch = Vec::new();
            let taken = waiting.recv_many(&mut batch, self.limits.batch_size).await;
            (taken > 0).then_some((batch, waiting))
        });
        let parts = batches.flat_map(|batch| stream::iter(cut_by_bytes(batch, self.limits.batch_bytes, bytes)));
        let queue = self.queue();
        let plan = move |part| {
            let Sorted { held, mut arrivals, isolated } = sorter.sort(part);
            let spans = Spans::begin(&queue, &mut arrivals);
            async { PlannedBatch { held, isolated, prepared: self.pipeline.prepare(arrivals, spans).await } }
        };
        parts.map(plan).buffered(BATCHES_IN_WORK)
    }

    /// Processes a batch, acknowledges what is settled and begins the moves of the rest.
    async fn settle<'s>(
        &'s self,
        batch: PlannedBatch,
        desk: &mut Desk,
        moves: &mut Moves<'s>,
        stop: &'s CancellationToken,
    ) -> Result<(), SessionError> {
        desk.isolate(&batch.isolated);
        for isolated in batch.isolated {
            self.note_isolated(&isolated.message);
            moves.push(self.relocation(isolated).run(stop).boxed());
        }
        let _in_hand = self.pipeline.metrics.in_hand.take(self.lane, batch.prepared.oldest());
        let verdicts = self.pipeline.process(batch.prepared).await;
        let settled = desk.settle(batch.held, verdicts);
        for retried in settled.moves {
            moves.push(self.relocation(retried).run(stop).boxed());
        }
        for Scatter { acker, messages } in settled.scatters {
            let (queue, publisher) = (self.topology.elements(), self.publisher.clone());
            moves.push(Scattering { acker, queue, messages, publisher }.run(stop).boxed());
        }
        failpoint::reach("worker.before-ack");
        for ack in settled.acks {
            acknowledge(ack).await?;
        }
        Ok(())
    }

    fn note_isolated(&self, message: &Message) {
        self.pipeline.metrics.isolated.inc();
        tracing::warn!(
            webhook.source = %message.source,
            webhook.id = message.id,
            trace_id = message.trace_id(),
            "delivered often without being settled; it will be run alone"
        );
    }

    fn relocation(&self, Move { acker, message, to }: Move<Receipt>) -> Relocation {
        let queue = match to {
            Destination::Suspects => self.topology.suspect(),
            Destination::Ladder(delay) => self.topology.retry(delay),
        };
        Relocation { acker, queue, message, publisher: self.publisher.clone() }
    }

    fn taken(&self, delivery: Delivery) -> Taken<Receipt> {
        self.consumed.inc();
        let deliveries = message::delivery_count(&delivery.properties);
        let body = Bytes::from(delivery.data);
        let place = self.lane.takes_batches().then(|| Place::take(&self.pipeline.metrics, body.len()));
        let dead = (self.lane == Lane::Dead).then_some(Defect::DeadLettered);
        let arrival = match message::decode(&delivery.properties, body.clone()) {
            Ok(message) => Arrival { message, defect: dead },
            Err(error) => Arrival {
                message: message::salvage(&delivery.properties, body),
                defect: dead.or(Some(Defect::Unreadable(error))),
            },
        };
        Taken { acker: Receipt::new(delivery.acker, place), arrival, deliveries }
    }
}

/// The queue that a lane takes from.
pub(crate) fn queue(lane: Lane, topology: &Topology) -> String {
    match lane {
        Lane::Work => topology.webhooks(),
        Lane::Elements => topology.elements(),
        Lane::Suspect => topology.suspect(),
        Lane::Dead => topology.dead(),
    }
}

fn bytes(taken: &Taken<Receipt>) -> usize {
    taken.arrival.message.body.len()
}
