//! One group of messages: published together, settled together.
//!
//! Invariant: a requester hears `Ok` only when the broker has acknowledged its own message and no
//! message of its group came back: which one that was cannot be told, so none of them counts. A
//! group ends before the next one begins on its channel. `model` holds it to that.

use std::future::Future;

use futures_util::future::try_join_all;

use super::PublishError;
use super::requests::Request;
use crate::amqp::SessionError;

/// A channel in confirm mode: lapin's, or a model of it that does whatever lapin may do.
pub(super) trait ConfirmChannel: Sync {
    /// What the broker says of one message, when it says it.
    type Confirming: Future<Output = Result<Confirm, SessionError>> + Send;

    /// Hands one message to the broker.
    fn publish(&self, request: &Request) -> impl Future<Output = Result<Self::Confirming, SessionError>> + Send;

    /// Ends when a group that begins now has taken too long.
    fn too_late(&self) -> impl Future<Output = ()> + Send;
}

/// What the broker said of a message; of that one, or where a message came back, of any of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirm {
    /// It has it.
    Ack,
    /// It refuses it.
    Nack,
    /// It has no queue for it.
    Returned,
}

/// What each message of a group is told, in its order, and whether the channel can still be used.
type Settlement = (Vec<Result<(), PublishError>>, Result<(), SessionError>);

/// Publishes a group and tells every requester how it went.
///
/// # Errors
/// When the channel cannot be trusted any longer: an error, a timeout, or a returned message
/// (a queue is gone; the next session declares it again).
pub(super) async fn publish(channel: &impl ConfirmChannel, group: &mut Vec<Request>) -> Result<(), SessionError> {
    group.retain(|request| !request.done.is_closed()); // nobody waits for these any more
    let (answers, end) = tokio::select! {
        biased;
        confirms = confirm_all(channel, group) => match confirms {
            Ok(confirms) => settle(&confirms),
            Err(error) if group.len() == 1 && error.is_about_a_message() => {
                (vec![Err(PublishError::Rejected)], Err(error))
            }
            Err(error) => (vec![Err(PublishError::Lost); group.len()], Err(error)),
        },
        () = channel.too_late() => {
            let slow = SessionError::Broken("the broker confirms too slowly");
            (vec![Err(PublishError::TimedOut); group.len()], Err(slow))
        }
    };
    for (request, answer) in group.drain(..).zip(answers) {
        if request.done.send(answer).is_err() {
            tracing::debug!("a publish was settled after its requester had gone");
        }
    }
    end
}

/// Publishes every message and waits for every confirm. lapin tells when a message is written; waiting for that one by one
/// would cost each message a turn of its thread.
pub(super) async fn confirm_all(
    channel: &impl ConfirmChannel,
    group: &[Request],
) -> Result<Vec<Confirm>, SessionError> {
    let confirming = try_join_all(group.iter().map(|request| channel.publish(request))).await?;
    try_join_all(confirming).await
}

/// Only an acknowledgement is success, and only in a group without a return.
pub(super) fn settle(confirms: &[Confirm]) -> Settlement {
    if confirms.contains(&Confirm::Returned) {
        let gone = SessionError::Broken("a message came back: its queue is not there");
        return (vec![Err(PublishError::Unroutable); confirms.len()], Err(gone));
    }
    let answer = |confirm: &Confirm| if *confirm == Confirm::Ack { Ok(()) } else { Err(PublishError::Refused) };
    (confirms.iter().map(answer).collect(), Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_return_fails_the_whole_group_wherever_it_was_attached() {
        for position in 0..3 {
            let mut confirms = [Confirm::Ack; 3];
            confirms[position] = Confirm::Returned;
            let (answers, end) = settle(&confirms);
            assert_eq!(answers, [Err(PublishError::Unroutable); 3]);
            assert!(end.is_err(), "the queue must be declared again");
        }
    }

    #[test]
    fn a_refused_message_is_refused_alone() {
        let (answers, end) = settle(&[Confirm::Ack, Confirm::Nack]);
        assert_eq!(answers, [Ok(()), Err(PublishError::Refused)]);
        assert!(end.is_ok());
    }
}
