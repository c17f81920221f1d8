//! The messages of one channel that are published and not yet confirmed, in the batches in which they were taken.
//!
//! A batch is released as a whole, the oldest first, and the next goes out when it is taken, up to [`BATCHES`] of them: what
//! is handed in meanwhile waits together, and so nobody is woken for a single message while many come. While the broker is
//! slow, more go out, one after the other, so that what comes meanwhile does not begin to wait for it only afterwards.
//!
//! Invariant: a requester hears `Ok` only when the broker has acknowledged its own message and no message that came back
//! can be it. lapin gives a message that came back to whichever confirm it settles next, so the confirm of an unroutable
//! message can look like an acknowledgement; but then what came back was given to a confirm that was settled
//! *before* it. So before a batch is released, everything behind it is looked at, too, and one message that came back
//! fails all that is in flight: which one it was cannot be told. `model` holds it to that.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use tokio::sync::oneshot;

use super::PublishError;
use super::requests::{Company, Outgoing, Request};
use crate::amqp::SessionError;
use crate::amqp::metrics::InFlightGauges;

/// The most batches in flight while the broker is not slow. With fewer, a message waits for those before it; with more,
/// batches are small when much is to be done, and each costs its turns of our thread and lapin's.
pub(super) const BATCHES: usize = 4;

/// A channel in confirm mode: lapin's, or a model of it that does whatever lapin may do.
pub(super) trait ConfirmChannel: Sync {
    /// Hands a message to the broker when it is first polled, and ends when the broker has said what became of it.
    fn publish(&self, message: Outgoing) -> impl Future<Output = Result<Confirm, SessionError>> + Send;

    /// Ends when no batch was settled from now on for too long.
    fn too_late(&self) -> impl Future<Output = ()> + Send;

    /// Ends when the broker is slow over a batch that goes out when it is first polled: long enough for one more to be worth
    /// its turns.
    fn slow(&self) -> impl Future<Output = ()> + Send;
}

/// What the broker said of a message; of that one, or where a message came back, of any that is in flight with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirm {
    /// It has it.
    Ack,
    /// It refuses it.
    Nack,
    /// It has no queue for it.
    Returned,
}

/// How much may be in flight at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowLimits {
    pub(super) messages: usize,
    /// Of bodies; a larger body goes alone.
    pub(super) bytes: usize,
    /// [`BATCHES`], except in tests.
    pub(super) batches: usize,
}

/// What there is room for in a window.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    /// Nothing is in flight.
    Any,
    /// What may be in flight with others, up to so many bytes.
    Beside { bytes: usize },
    /// It is full, or what is in flight wants to be alone.
    Full,
}

impl Room {
    pub(super) fn fits(self, request: &Request) -> bool {
        match self {
            Self::Any => true,
            Self::Beside { bytes } => request.company == Company::Shared && request.message.body.len() <= bytes,
            Self::Full => false,
        }
    }
}

/// What is in flight on a channel.
pub(super) struct Window<'c, C> {
    channel: &'c C,
    limits: WindowLimits,
    /// The oldest first.
    batches: VecDeque<Vec<InFlight<'c>>>,
    messages: usize,
    bytes: usize,
    /// Whether what is in flight wants to be alone.
    alone: bool,
    /// Whether one batch more may go out, although there are as many as may be.
    one_more: bool,
    gauges: InFlightGauges,
}

struct InFlight<'c> {
    done: oneshot::Sender<Result<(), PublishError>>,
    bytes: usize,
    confirming: Confirming<'c>,
}

type Confirming<'c> = MaybeDone<BoxFuture<'c, Result<Confirm, SessionError>>>;

impl<'c, C: ConfirmChannel> Window<'c, C> {
    pub(super) fn new(channel: &'c C, limits: WindowLimits, gauges: InFlightGauges) -> Self {
        Self {
            channel,
            limits,
            batches: VecDeque::with_capacity(BATCHES),
            messages: 0,
            bytes: 0,
            alone: false,
            one_more: false,
            gauges,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What there is room for now.
    pub(super) fn room(&self) -> Room {
        if self.is_empty() {
            return Room::Any;
        }
        if self.alone || self.is_crowded() {
            return Room::Full;
        }
        self.room_beside()
    }

    /// Whether there are as many batches in flight as may be.
    pub(super) fn is_crowded(&self) -> bool {
        self.batches.len() >= self.limits.batches && !self.one_more
    }

    /// Lets one batch more go out, however many there are.
    pub(super) fn allow_one_more(&mut self) {
        self.one_more = true;
    }

    fn room_beside(&self) -> Room {
        match self.messages < self.limits.messages {
            true => Room::Beside { bytes: self.limits.bytes.saturating_sub(self.bytes) },
            false => Room::Full,
        }
    }

    /// Publishes a batch: a request, and whatever `next` has room for beside it. What nobody waits for any more is left out.
    pub(super) fn publish(&mut self, first: Request, mut next: impl FnMut(Room) -> Option<Request>) {
        let mut batch = Vec::new();
        let mut request = Some(first);
        while let Some(Request { company, message, done }) = request {
            if !done.is_closed() {
                let bytes = message.body.len();
                self.messages += 1;
                self.bytes += bytes;
                self.alone = company == Company::Alone;
                let mut confirming = maybe_done(self.channel.publish(message).boxed());
                look(&mut confirming);
                batch.push(InFlight { done, bytes, confirming });
            }
            request = match (batch.is_empty(), self.alone) {
                (true, _) => next(self.room()),
                (false, true) => None,
                (false, false) => next(self.room_beside()),
            };
        }
        if !batch.is_empty() {
            self.batches.push_back(batch);
            self.one_more = false;
        }
        self.gauges.set(self.messages, self.bytes);
    }

    /// Waits until the oldest batch is settled, and tells its requesters. Waits for ever when nothing is in flight. Nothing
    /// is lost when it is dropped while it waits.
    ///
    /// # Errors
    /// When the channel cannot be trusted any longer: an error, or a message that came back (a queue is gone; the next
    /// session declares it again). Whoever has not been told by then never is: its message counts as lost.
    pub(super) async fn settle(&mut self) -> Result<(), SessionError> {
        poll_fn(|context| self.poll_oldest(context)).await;
        let Some(oldest) = self.batches.pop_front() else { return Ok(()) };
        self.batches.iter_mut().flatten().for_each(|message| look(&mut message.confirming));
        self.release(oldest)
    }

    /// The newest message of the batch is waited for first: when it is settled, the others mostly are, and none of them
    /// wakes anybody.
    fn poll_oldest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(oldest) = self.batches.front_mut() else { return Poll::Pending };
        let settled = oldest.iter_mut().rev().all(|message| message.confirming.poll_unpin(context).is_ready());
        if settled { Poll::Ready(()) } else { Poll::Pending }
    }

    fn release(&mut self, mut batch: Vec<InFlight<'c>>) -> Result<(), SessionError> {
        if batch.iter_mut().chain(self.batches.iter_mut().flatten()).any(InFlight::came_back) {
            let all = batch.into_iter().chain(self.batches.drain(..).flatten());
            all.for_each(|message| answer(message.done, Err(PublishError::Unroutable)));
            return Err(SessionError::Broken("a message came back: its queue is not there"));
        }
        let was_alone = batch.len() == 1 && self.batches.is_empty();
        let mut failed = None;
        for InFlight { done, bytes, mut confirming } in batch {
            self.messages -= 1;
            self.bytes -= bytes;
            match Pin::new(&mut confirming).take_output() {
                Some(Ok(Confirm::Ack)) => answer(done, Ok(())),
                Some(Ok(Confirm::Nack | Confirm::Returned)) | None => answer(done, Err(PublishError::Refused)),
                Some(Err(error)) => {
                    let rejected = was_alone && error.is_about_a_message();
                    answer(done, Err(if rejected { PublishError::Rejected } else { PublishError::Lost }));
                    failed = Some(error);
                }
            }
        }
        self.gauges.set(self.messages, self.bytes);
        failed.map_or(Ok(()), Err)
    }
}

impl<C> Drop for Window<'_, C> {
    fn drop(&mut self) {
        self.gauges.set(0, 0);
    }
}

impl InFlight<'_> {
    fn came_back(&mut self) -> bool {
        matches!(Pin::new(&mut self.confirming).output_mut(), Some(Ok(Confirm::Returned)))
    }
}

/// Looks whether a message is settled; nobody is woken if that is later.
fn look(confirming: &mut Confirming<'_>) {
    let _looked_at_again = confirming.poll_unpin(&mut Context::from_waker(Waker::noop()));
}

fn answer(done: oneshot::Sender<Result<(), PublishError>>, answer: Result<(), PublishError>) {
    if done.send(answer).is_err() {
        tracing::debug!("a publish was settled after its requester had gone");
    }
}

#[cfg(test)]
pub(super) mod tests;
