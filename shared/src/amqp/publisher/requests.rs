//! What waits to be published: handed in by any number of requesters, taken one by one.

use std::future::{Future, pending};
use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use tokio::sync::{mpsc, oneshot};

use super::PublishError;
use super::window::Room;

/// With whom a message may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// With anyone.
    Shared,
    /// With nobody: whatever happens to the channel meanwhile is its own doing.
    Alone,
}

/// A message as the broker gets it.
pub(super) struct Outgoing {
    pub(super) queue: Arc<str>,
    /// Large, and moved often.
    pub(super) properties: Box<BasicProperties>,
    pub(super) body: Bytes,
}

/// One message that waits to be published and confirmed.
pub(super) struct Request {
    pub(super) company: Company,
    pub(super) message: Outgoing,
    /// Closed when nobody waits for it any more.
    pub(super) done: oneshot::Sender<Result<(), PublishError>>,
}

/// The end that requesters hold.
#[derive(Clone)]
pub(super) struct Submissions(mpsc::Sender<Request>);

/// The publisher's end.
pub(super) struct Requests {
    submitted: mpsc::Receiver<Request>,
    /// Taken, and without room so far.
    next: Option<Request>,
}

/// Both ends; beyond `capacity` waiting requests, requesters wait outside.
pub(super) fn requests(capacity: usize) -> (Submissions, Requests) {
    let (sender, submitted) = mpsc::channel(capacity);
    (Submissions(sender), Requests { submitted, next: None })
}

impl Submissions {
    /// Hands a message in and waits until it is settled. Dropped meanwhile, the message may
    /// still be published.
    pub(super) fn submit(
        &self,
        company: Company,
        queue: &str,
        properties: BasicProperties,
        body: Bytes,
    ) -> impl Future<Output = Result<(), PublishError>> + use<'_> {
        let (done, settled) = oneshot::channel();
        let message = Outgoing { queue: queue.into(), properties: Box::new(properties), body };
        let request = Request { company, message, done };
        async move {
            self.0.send(request).await.map_err(|_closed| PublishError::Stopped)?;
            settled.await.unwrap_or(Err(PublishError::Lost))
        }
    }
}

impl Requests {
    /// Waits for the next request, and for ever if there is no room for it: ask again when there may be. `None` when all
    /// requesters are gone. Nothing is lost when it is dropped while it waits.
    pub(super) async fn take(&mut self, room: Room) -> Option<Request> {
        if self.next.is_none() {
            self.next = Some(self.submitted.recv().await?);
        }
        match self.next.take_if(|request| room.fits(request)) {
            Some(request) => Some(request),
            None => pending().await,
        }
    }

    /// The next request, if there is one and room for it.
    pub(super) fn try_take(&mut self, room: Room) -> Option<Request> {
        if self.next.is_none() {
            self.next = self.submitted.try_recv().ok();
        }
        self.next.take_if(|request| room.fits(request))
    }
}
