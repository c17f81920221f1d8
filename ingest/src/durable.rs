//! Where a webhook is made durable: on the queue, else in the spool, else nowhere and it is answered 503.
//!
//! Invariant: `Ok` means that a quorum queue has confirmed it, or that it is fsynced in the spool. A publish that was
//! given up may still land; the spool then holds a second copy, which the claim absorbs.

use std::sync::Arc;
use std::time::Instant;

use shared::amqp::{LinkState, PublishError, Publisher};
use shared::message::{self, Message};

use crate::breaker::Breaker;
use crate::room;
use crate::spool::{NotSpooled, Spool};

/// Makes webhooks durable. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) publisher: Publisher,
    /// The queue that webhooks go to.
    pub(crate) queue: Arc<str>,
    pub(crate) breaker: Arc<Breaker>,
    /// `None`: webhooks that are not confirmed are answered 503.
    pub(crate) spool: Option<Spool>,
}

/// Where a durable webhook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// On the queue, confirmed.
    Queued,
    /// In the spool, synced.
    Spooled,
}

/// Why a webhook is not known to be durable: what the broker said, if it was asked, and then the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// It fits into no message, and never will.
    Unencodable,
    /// The broker did not confirm, and there is no spool.
    NotPublished(PublishError),
    /// The spool did not take it either.
    NotSpooled(NotSpooled),
}

impl Keeper {
    /// Makes a webhook durable: publishing has a budget of its own, the spool all the time that is left. `room` is
    /// given back when the body is let go of, which a disk that hangs may put off for longer than the answer.
    pub(crate) async fn keep(
        &self,
        message: &Message,
        room: room::Bytes,
        answer_by: tokio::time::Instant,
    ) -> Result<Kept, NotKept> {
        let Some(spool) = &self.spool else { return self.publish(message).await.map_err(NotKept::NotPublished) };
        if self.may_publish() {
            match self.publish(message).await {
                Ok(kept) => return Ok(kept),
                Err(PublishError::Unencodable) => return Err(NotKept::Unencodable),
                Err(error) => {
                    tracing::debug!(webhook.id = message.id, trace_id = message.trace_id(), %error, "not published, spooling");
                }
            }
        } else if message::encode(message).is_err() {
            // What can never be published is told to its sender, not kept.
            return Err(NotKept::Unencodable);
        }
        spool.keep(message.clone(), room, answer_by).await.map(|()| Kept::Spooled).map_err(NotKept::NotSpooled)
    }

    /// Whether there is any point in asking the broker.
    fn may_publish(&self) -> bool {
        *self.publisher.link().borrow() == LinkState::Up && self.breaker.lets_through(Instant::now())
    }

    async fn publish(&self, message: &Message) -> Result<Kept, PublishError> {
        let published = self.publisher.publish(&self.queue, message).await;
        match published {
            Ok(()) => self.breaker.succeeded(),
            Err(PublishError::Unencodable) => {}
            Err(_) => self.breaker.failed(Instant::now()),
        }
        published.map(|()| Kept::Queued)
    }
}

impl NotKept {
    /// How logs call it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unencodable => "unencodable",
            Self::NotPublished(error) => error.code(),
            Self::NotSpooled(error) => match error {
                NotSpooled::Full => "spool_full",
                NotSpooled::LowDisk => "spool_low_disk",
                NotSpooled::Failed => "spool_failed",
                NotSpooled::Busy => "spool_busy",
                NotSpooled::TimedOut => "spool_timed_out",
                NotSpooled::Stopped => "spool_stopped",
            },
        }
    }
}
