//! The publisher's session with a bug planted in it, to see that the law finds each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Waker};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use tokio::sync::oneshot;

use super::super::PublishError;
use super::super::requests::{Request, Requests};
use super::super::window::{Confirm, ConfirmChannel, Room};
use super::broker::ModelChannel;
use crate::amqp::SessionError;

/// What is built wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Each requester is told what its own confirm says, whatever came back beside it.
    SettledOneByOne,
    /// Nobody looks at what is behind the messages that are released.
    NobodyLooksBehind,
    /// Requesters that went away are left out between publishing and settling: the confirms shift.
    GoneAreLeftOut,
    /// A channel that ran out of time is used for the next messages.
    LateChannelsGoOn,
    /// What is in flight on a channel that failed is kept and never answered.
    FailuresAreNotAnswered,
}

/// [`publish_all`](super::publish_all), with a bug.
pub(super) async fn publish_all(bug: Bug, channel: &ModelChannel, requests: &mut Requests) -> Result<(), SessionError> {
    while let Some(first) = requests.take(Room::Any).await {
        let mut flight = Flight::default();
        let mut next = Some(first);
        while let Some(request) = next {
            flight.publish(channel, request);
            next = requests.try_take(Room::Beside { bytes: usize::MAX });
        }
        let ended = tokio::select! {
            biased;
            ended = flight.settle(bug) => ended,
            () = channel.too_late() => match bug {
                Bug::LateChannelsGoOn => Ok(()),
                _ => Err(SessionError::Broken("too slow")),
            },
        };
        if ended.is_err() && bug == Bug::FailuresAreNotAnswered {
            std::mem::forget(flight);
        }
        ended?;
    }
    Ok(())
}

type Confirming<'c> = MaybeDone<BoxFuture<'c, Result<Confirm, SessionError>>>;

/// Messages that are published together.
#[derive(Default)]
struct Flight<'c> {
    requesters: VecDeque<oneshot::Sender<Result<(), PublishError>>>,
    confirms: VecDeque<Confirming<'c>>,
}

impl<'c> Flight<'c> {
    fn publish(&mut self, channel: &'c ModelChannel, request: Request) {
        let mut confirming = maybe_done(channel.publish(request.message).boxed());
        look(&mut confirming);
        self.confirms.push_back(confirming);
        self.requesters.push_back(request.done);
    }

    async fn settle(&mut self, bug: Bug) -> Result<(), SessionError> {
        while let Some(oldest) = self.confirms.front_mut() {
            oldest.await;
            if bug == Bug::GoneAreLeftOut {
                self.requesters.retain(|requester| !requester.is_closed());
            }
            let mut settled = Vec::new();
            while let Some(said) =
                self.confirms.pop_front_if(look).and_then(|mut confirm| Pin::new(&mut confirm).take_output())
            {
                settled.push(said?);
            }
            if self.one_came_back(bug, &settled) {
                return Err(SessionError::Broken("a message came back"));
            }
            let heard = settled.len().min(self.requesters.len());
            for (said, requester) in settled.into_iter().zip(self.requesters.drain(..heard)) {
                let answer = if said == Confirm::Ack { Ok(()) } else { Err(PublishError::Refused) };
                let _gone = requester.send(answer);
            }
        }
        Ok(())
    }

    fn one_came_back(&mut self, bug: Bug, settled: &[Confirm]) -> bool {
        let mut behind = self.confirms.iter_mut().filter_map(|confirm| {
            look(confirm);
            Pin::new(confirm).output_mut().and_then(|said| said.as_ref().ok().copied())
        });
        match bug {
            Bug::SettledOneByOne => false,
            Bug::NobodyLooksBehind => settled.contains(&Confirm::Returned),
            _ => settled.contains(&Confirm::Returned) || behind.any(|said| said == Confirm::Returned),
        }
    }
}

/// Whether it is settled.
fn look(confirm: &mut Confirming<'_>) -> bool {
    confirm.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready()
}
