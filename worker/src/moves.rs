//! Messages on their way to another queue: to the retry ladder, to the suspects, from one body to the elements.
//!
//! A move is published with a confirm before its delivery is acknowledged, so the message is at
//! least once in one of the two queues. Moves go on beside the lane: while the broker takes no
//! messages, their deliveries stay unacknowledged and hold up nobody.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use shared::amqp::{Publisher, SessionError};
use shared::backoff::Backoff;
use shared::failpoint;
use shared::message::Message;
use tokio_util::sync::CancellationToken;

use crate::receipt::Receipt;

/// Moves that are under way; each gives its delivery back to be acknowledged.
pub(crate) type Moves<'s> = FuturesUnordered<BoxFuture<'s, Result<Receipt, SessionError>>>;

/// One message's move.
pub(crate) struct Relocation {
    pub(crate) acker: Receipt,
    pub(crate) queue: String,
    pub(crate) message: Message,
    pub(crate) publisher: Publisher,
}

/// The webhooks of one body, published one by one.
pub(crate) struct Scattering {
    pub(crate) acker: Receipt,
    pub(crate) queue: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) publisher: Publisher,
}

/// Webhooks of one body that are published side by side.
const SIDE_BY_SIDE: usize = 64;

impl Scattering {
    /// Publishes until every one is confirmed. What a crash publishes twice, the claims absorb.
    pub(crate) async fn run(self, stop: &CancellationToken) -> Result<Receipt, SessionError> {
        let Self { acker, queue, messages, publisher } = self;
        let (queue, publisher) = (queue.as_str(), &publisher);
        let publishing =
            messages.into_iter().map(|message| async move { confirmed(publisher, queue, &message, stop).await });
        stream::iter(publishing).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await?;
        failpoint::reach("worker.after-scatter");
        Ok(acker)
    }
}

impl Relocation {
    /// Publishes again and again until it is confirmed. A second copy is absorbed by the claim.
    /// Told to stop, it gives up: the message stays unacknowledged where it was.
    pub(crate) async fn run(self, stop: &CancellationToken) -> Result<Receipt, SessionError> {
        confirmed(&self.publisher, &self.queue, &self.message, stop).await?;
        failpoint::reach("worker.after-move");
        Ok(self.acker)
    }
}

async fn confirmed(
    publisher: &Publisher,
    queue: &str,
    message: &Message,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    let mut backoff = Backoff::new();
    loop {
        match publisher.publish(queue, message).await {
            Ok(()) => return Ok(()),
            Err(_) if stop.is_cancelled() => return Err(SessionError::Broken("stopping")),
            Err(error) => {
                let trace_id = message.trace_id();
                tracing::warn!(queue, webhook.id = message.id, trace_id, %error, "not confirmed; publishing again");
                backoff.pause().await;
            }
        }
    }
}
