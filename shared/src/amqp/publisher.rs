//! The confirmed publisher: `Ok` means that a quorum queue has the message.
//!
//! lapin can attach a returned (unroutable) message to the wrong confirm when several are in
//! flight. So messages are published in groups, one group at a time on a channel, and a group's
//! acknowledgements are released together, when all of its confirms have settled and none came
//! back returned; one return fails the whole group. Deduplication absorbs what had landed.
//!
//! Not promised: an error does not mean "unpublished". A confirm that timed out may still land.

mod group;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Channel, Connection, Event};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Broker, LinkState, Session, SessionError, Topology, supervise};
use crate::config::QueueConfig;
use crate::message::{self, Message};

/// Why a message is not known to be on a quorum queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message does not fit into AMQP's properties.
    #[error("the message's id or topic is too long for AMQP")]
    Unencodable,
    /// No confirm within the budget. It may still land.
    #[error("no confirm in time")]
    TimedOut,
    /// The broker takes no messages for want of memory or disk.
    #[error("the broker blocks publishers")]
    Blocked,
    /// The broker refused it: the queue is full.
    #[error("the broker refused the message")]
    Refused,
    /// A message of the same group had no queue to go to.
    #[error("the queue is not there")]
    Unroutable,
    /// The connection was lost before the confirm.
    #[error("the connection was lost")]
    Lost,
    /// The publisher has stopped.
    #[error("the publisher has stopped")]
    Stopped,
}

/// How a publisher works.
#[derive(Debug, Clone)]
pub struct PublisherConfig {
    /// Messages that share one round of confirms.
    pub group: usize,
    /// Channels that publish groups side by side.
    pub channels: usize,
    /// The budget for publish and confirm.
    pub timeout: Duration,
    /// Messages waiting for their group; more wait outside.
    pub queue: usize,
}

impl PublisherConfig {
    /// From the configuration file, with a role's own budget.
    #[must_use]
    pub fn new(config: &QueueConfig, timeout: Duration) -> Self {
        let (group, channels) = (config.publish_group, config.publish_channels);
        Self { group, channels, timeout, queue: group * channels }
    }
}

/// A handle to publish with. Cheap to clone; the publisher ends when it is told to stop.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    link: watch::Receiver<LinkState>,
    timeout: Duration,
}

/// One message that waits to be published and confirmed.
struct Request {
    queue: Arc<str>,
    properties: BasicProperties,
    body: Bytes,
    done: oneshot::Sender<Result<(), PublishError>>,
}

/// Requests are shared by all channels: whichever is free takes the next group.
type Requests = Arc<Mutex<mpsc::Receiver<Request>>>;

impl Publisher {
    /// Starts a publisher with a connection of its own. The second value ends when it has stopped.
    pub fn spawn(
        broker: Broker,
        topology: Topology,
        config: &PublisherConfig,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (requests, receiver) = mpsc::channel(config.queue);
        let (state, link) = watch::channel(LinkState::Down);
        let session = PublishSession { topology, config: config.clone(), requests: Arc::new(Mutex::new(receiver)) };
        let task = tokio::spawn(supervise(broker, "publish", state, stop, session));
        (Self { requests, link, timeout: config.timeout }, task)
    }

    /// Publishes to a queue and waits for the confirm, within the budget.
    ///
    /// # Errors
    /// When the message is not known to be on the queue, for whatever reason.
    pub async fn publish(&self, queue: &str, message: &Message) -> Result<(), PublishError> {
        let properties = message::encode(message).map_err(|_too_long| PublishError::Unencodable)?;
        if *self.link.borrow() == LinkState::Blocked {
            return Err(PublishError::Blocked);
        }
        let (done, confirmed) = oneshot::channel();
        let request = Request { queue: queue.into(), properties, body: message.body.clone(), done };
        let publishing = async {
            self.requests.send(request).await.map_err(|_closed| PublishError::Stopped)?;
            confirmed.await.unwrap_or(Err(PublishError::Lost))
        };
        tokio::time::timeout(self.timeout, publishing).await.unwrap_or(Err(PublishError::TimedOut))
    }

    /// The state of the connection, and a way to wait for it.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }
}

struct PublishSession {
    topology: Topology,
    config: PublisherConfig,
    requests: Requests,
}

impl Session for PublishSession {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        self.topology.declare(connection).await?;
        let mut channels = Vec::new();
        for _ in 0..self.config.channels {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            channels.push(channel);
        }
        link.send_replace(LinkState::Up);
        let lanes = channels.iter().map(|channel| self.lane(channel, stop).boxed());
        tokio::select! {
            lanes = first_error(lanes.collect()) => lanes,
            error = watch_blocks(connection, link) => Err(error),
        }
    }
}

impl PublishSession {
    /// One channel's work: take a group, publish it, settle it, again.
    async fn lane(&self, channel: &Channel, stop: &CancellationToken) -> Result<(), SessionError> {
        let mut group = Vec::with_capacity(self.config.group);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                taken = take_group(&self.requests, &mut group, self.config.group) => taken,
            };
            if taken == 0 {
                return Ok(());
            }
            group::publish(channel, &mut group, self.config.timeout).await?;
        }
    }
}

/// Waits for a first request and takes what else has arrived; 0 when all handles are gone.
async fn take_group(requests: &Requests, group: &mut Vec<Request>, limit: usize) -> usize {
    requests.lock().await.recv_many(group, limit).await
}

/// Runs all lanes until one fails or all are done.
async fn first_error(
    lanes: Vec<futures_util::future::BoxFuture<'_, Result<(), SessionError>>>,
) -> Result<(), SessionError> {
    futures_util::future::try_join_all(lanes).await.map(|_done| ())
}

/// Follows the broker's alarms: while blocked, publishing fails at once instead of hanging.
async fn watch_blocks(connection: &Connection, link: &watch::Sender<LinkState>) -> SessionError {
    let mut events = std::pin::pin!(connection.events_listener());
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "the broker blocks publishers");
                link.send_replace(LinkState::Blocked);
            }
            Event::ConnectionUnblocked => {
                tracing::info!("the broker takes messages again");
                link.send_replace(LinkState::Up);
            }
            Event::Error(error) => return error.into(),
            _ => {}
        }
    }
    SessionError::Broken("the connection ended")
}
