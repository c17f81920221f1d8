//! The publisher's session with a bug planted in it, to see that the law finds each.

use shuttle::future::yield_now;

use super::super::PublishError;
use super::super::group::{Confirm, ConfirmChannel, confirm_all, settle};
use super::super::requests::{GroupLimits, Requests};
use super::broker::ModelChannel;
use crate::amqp::SessionError;

/// What is built wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Each requester is told what its own confirm says, whatever came back beside it.
    SettledOneByOne,
    /// Requesters that went away are left out between publishing and settling: the confirms shift.
    GoneAreLeftOut,
    /// The next group begins while confirms of this one are outstanding.
    GroupsOverlap,
    /// A group that ran out of time is given up, and its channel used for the next one.
    LateChannelsGoOn,
    /// A group that failed is kept and never answered.
    FailuresAreNotAnswered,
}

/// [`publish_all`](super::publish_all) on one channel, with a bug.
pub(super) async fn publish_all(
    bug: Bug,
    channel: &ModelChannel,
    requests: &Requests,
    limits: GroupLimits,
) -> Result<(), SessionError> {
    loop {
        let mut group = Vec::new();
        requests.take(&mut group, limits).await;
        if group.is_empty() {
            return Ok(());
        }
        let confirming = async {
            tokio::select! {
                biased;
                confirms = confirm_all(channel, &mut group) => confirms,
                () = impatience(), if bug == Bug::GroupsOverlap => Ok(Vec::new()),
                () = channel.too_late() => match bug {
                    Bug::LateChannelsGoOn => Ok(Vec::new()),
                    _ => Err(SessionError::Broken("too slow")),
                },
            }
        };
        let confirms = match confirming.await {
            Ok(confirms) => confirms,
            Err(error) => {
                if bug == Bug::FailuresAreNotAnswered {
                    std::mem::forget(group);
                }
                return Err(error);
            }
        };
        if bug == Bug::GoneAreLeftOut {
            group.retain(|request| !request.done.is_closed());
        }
        let alone = |confirm: &Confirm| if *confirm == Confirm::Ack { Ok(()) } else { Err(PublishError::Refused) };
        let (answers, end) = match bug {
            Bug::SettledOneByOne => (confirms.iter().map(alone).collect(), Ok(())),
            _ => settle(&confirms),
        };
        for (request, answer) in group.into_iter().zip(answers) {
            let _gone = request.done.send(answer);
        }
        end?;
    }
}

async fn impatience() {
    for _ in 0..3 {
        yield_now().await;
    }
}
