//! Messages on their way to another queue: to the retry ladder, to the suspects.
//!
//! A move is published with a confirm before its delivery is acknowledged, so the message is at
//! least once in one of the two queues. Moves go on beside the lane: while the broker takes no
//! messages, their deliveries stay unacknowledged and hold up nobody.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lapin::Acker;
use shared::amqp::{Publisher, SessionError};
use shared::backoff::Backoff;
use shared::failpoint;
use shared::message::Message;
use tokio_util::sync::CancellationToken;

/// Moves that are under way; each gives its delivery back to be acknowledged.
pub(crate) type Moves<'s> = FuturesUnordered<BoxFuture<'s, Result<Acker, SessionError>>>;

/// One message's move.
pub(crate) struct Relocation {
    pub(crate) acker: Acker,
    pub(crate) queue: String,
    pub(crate) message: Message,
    pub(crate) publisher: Publisher,
}

impl Relocation {
    /// Publishes again and again until it is confirmed. A second copy is absorbed by the claim.
    /// Told to stop, it gives up: the message stays unacknowledged where it was.
    pub(crate) async fn run(self, stop: &CancellationToken) -> Result<Acker, SessionError> {
        let mut backoff = Backoff::new();
        loop {
            match self.publisher.publish(&self.queue, &self.message).await {
                Ok(()) => {
                    failpoint::reach("worker.after-move");
                    return Ok(self.acker);
                }
                Err(_) if stop.is_cancelled() => return Err(SessionError::Broken("stopping")),
                Err(error) => {
                    tracing::warn!(
                        queue = self.queue, webhook.id = self.message.id, %error, "not confirmed; publishing again"
                    );
                    backoff.pause().await;
                }
            }
        }
    }
}
