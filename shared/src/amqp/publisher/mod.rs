//! The confirmed publisher: `Ok` means that a quorum queue has the message.
//!
//! lapin can attach a returned (unroutable) message to the wrong confirm when several are in
//! flight. So what is in flight is a window (`window`): acknowledgements are released from its oldest end, after
//! a look at all of it; one message that came back fails all that is in flight. Deduplication absorbs what had landed.
//! How the window and its requesters meet is held to that under every schedule (`model`, in tests).
//!
//! While the broker blocks publishers, the connection is kept and publishing fails at once: a new connection would
//! be blocked by its first message, too. What was under way is confirmed when the broker takes messages again.
//!
//! Not promised: an error does not mean "unpublished". A confirm that timed out may still land.

mod requests;
mod session;
mod window;

#[cfg(test)]
mod model;

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::requests::{Company, Submissions, requests};
use self::session::PublishSession;
use self::window::{BATCHES, WindowLimits};
use super::{Broker, LinkState, MessagingMetrics, Topology, supervise};
use crate::config::QueueConfig;
use crate::message::{self, Message};

/// The largest frame that a publisher sends, in bytes. lapin keeps buffers of 32 frames each way and walks round through
/// them, so small ones stay in the processor's caches; but a message's headers have to fit into one. Connections that take
/// deliveries keep the broker's limit: what others put on a queue may have larger headers.
const FRAME_MAX_BYTES: u32 = 48 * 1024;

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
    /// The broker closed the channel because of this message alone: it is too large for it.
    #[error("the broker never takes this message: it is too large for it")]
    Rejected,
    /// A message that was in flight with it had no queue to go to.
    #[error("the queue is not there")]
    Unroutable,
    /// The connection was lost before the confirm.
    #[error("the connection was lost")]
    Lost,
    /// The publisher has stopped.
    #[error("the publisher has stopped")]
    Stopped,
}

impl PublishError {
    /// How logs and metrics call it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unencodable => "unencodable",
            Self::TimedOut => "timed_out",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Unroutable => "unroutable",
            Self::Lost => "lost",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the message will never be published, however often it is tried.
    #[must_use]
    pub fn is_for_good(self) -> bool {
        matches!(self, Self::Unencodable | Self::Rejected)
    }
}

/// How a publisher works.
#[derive(Debug, Clone)]
pub struct PublisherConfig {
    /// What may be in flight at once. As much again waits for room; more waits outside.
    window: WindowLimits,
    /// The budget for publish and confirm.
    pub timeout: Duration,
    /// Where publishes are counted.
    pub metrics: MessagingMetrics,
}

impl PublisherConfig {
    /// From the configuration file, with a role's own budget.
    #[must_use]
    pub fn new(config: &QueueConfig, timeout: Duration) -> Self {
        let window =
            WindowLimits { messages: config.publish_window, bytes: config.publish_window_bytes, batches: BATCHES };
        Self { window, timeout, metrics: MessagingMetrics::default() }
    }

    /// The same, counted there.
    #[must_use]
    pub fn counted_by(self, metrics: MessagingMetrics) -> Self {
        Self { metrics, ..self }
    }
}

/// A handle to publish with. Cheap to clone; the publisher ends when it is told to stop.
#[derive(Clone)]
pub struct Publisher {
    submissions: Submissions,
    link: watch::Receiver<LinkState>,
    timeout: Duration,
    metrics: MessagingMetrics,
}

impl Publisher {
    /// Starts a publisher with a connection of its own. The second value ends when it has stopped.
    pub fn spawn(
        broker: Broker,
        topology: Topology,
        config: &PublisherConfig,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (submissions, requests) = requests(config.window.messages);
        let (state, link) = watch::channel(LinkState::Down);
        let session = PublishSession { topology, config: config.clone(), requests };
        let broker = broker.with_frames_of(FRAME_MAX_BYTES);
        let task = tokio::spawn(supervise(broker, "publish", state, stop, session));
        (Self { submissions, link, timeout: config.timeout, metrics: config.metrics.clone() }, task)
    }

    /// Publishes to a queue and waits for the confirm, within the budget.
    ///
    /// # Errors
    /// When the message is not known to be on the queue, for whatever reason.
    pub async fn publish(&self, queue: &str, message: &Message) -> Result<(), PublishError> {
        self.publish_in(Company::Shared, queue, message).await
    }

    /// The same, with nothing else in flight: if the broker closes the channel because of it, that is
    /// [`PublishError::Rejected`] and not [`PublishError::Lost`]. For what was lost in the company of others.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_alone(&self, queue: &str, message: &Message) -> Result<(), PublishError> {
        self.publish_in(Company::Alone, queue, message).await
    }

    async fn publish_in(&self, company: Company, queue: &str, message: &Message) -> Result<(), PublishError> {
        let began = Instant::now();
        let published = self.publish_within_budget(company, queue, message).await;
        self.metrics.published(queue, published, began.elapsed());
        published
    }

    async fn publish_within_budget(
        &self,
        company: Company,
        queue: &str,
        message: &Message,
    ) -> Result<(), PublishError> {
        let properties = message::encode(message).map_err(|_too_long| PublishError::Unencodable)?;
        let publishing = self.submissions.submit(company, queue, properties, message.body.clone());
        let mut link = self.link.clone();
        tokio::select! {
            biased;
            Ok(_blocked) = link.wait_for(|state| *state == LinkState::Blocked) => Err(PublishError::Blocked),
            published = tokio::time::timeout(self.timeout, publishing) => {
                published.unwrap_or(Err(PublishError::TimedOut))
            }
        }
    }

    /// The state of the connection, and a way to wait for it.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::AMQPValue;
    use time::OffsetDateTime;
    use webhook::provider::{MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADERS, MAX_SHORT_STRING_BYTES};

    use super::*;
    use crate::message::{Replay, ReplayMode, Steering, sha256};
    use crate::name::{MAX_NAME_BYTES, Name};

    #[test]
    fn the_largest_headers_fit_into_a_frame() {
        let name = |length: usize| Name::try_from("n".repeat(length).as_str()).unwrap();
        let at = OffsetDateTime::UNIX_EPOCH;
        let replay =
            Replay { of: "\"".repeat(MAX_SHORT_STRING_BYTES), run: name(MAX_NAME_BYTES), mode: ReplayMode::Resend };
        let header = |_| ("x-".repeat(64), "\"".repeat(MAX_KEPT_HEADER_BYTES));
        let message = Message {
            source: name(MAX_NAME_BYTES),
            provider: name(MAX_NAME_BYTES),
            id: "i".repeat(MAX_SHORT_STRING_BYTES),
            topic: "t".repeat(MAX_SHORT_STRING_BYTES - MAX_NAME_BYTES - 1),
            received_at: at,
            content_type: Some("c".repeat(MAX_SHORT_STRING_BYTES)),
            headers: (0..MAX_KEPT_HEADERS).map(header).collect(),
            body_sha256: sha256(b""),
            attempt: u32::MAX,
            traceparent: Some("t".repeat(55)),
            steering: Some(Steering { at, replay: Some(replay) }),
            body: bytes::Bytes::new(),
        };
        let properties = message::encode(&message).unwrap();
        let headers = properties.headers().clone().unwrap_or_default();
        let length =
            |value: &AMQPValue| if let AMQPValue::LongString(text) = value { text.as_bytes().len() } else { 0 };
        let headers: usize = headers.inner().iter().map(|(name, value)| name.as_str().len() + length(value)).sum();
        // The other properties are short strings and numbers.
        assert!(headers + 8 * MAX_SHORT_STRING_BYTES < FRAME_MAX_BYTES as usize, "{headers} bytes of headers");
    }
}
