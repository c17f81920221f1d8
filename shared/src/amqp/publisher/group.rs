//! One group of messages: published together, settled together.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Error};

use super::{PublishError, Request};
use crate::amqp::SessionError;

/// What became of a whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// Every message has its confirm.
    Confirmed,
    /// At least one came back: which one cannot be told, so none counts as published.
    Returned,
    /// At least one was refused and none came back.
    Refused,
}

/// Publishes a group and tells every requester how it went.
///
/// # Errors
/// When the channel cannot be trusted any longer: an error, a timeout, or a returned message
/// (a queue is gone; the next session declares it again).
pub(super) async fn publish(
    channel: &Channel,
    group: &mut Vec<Request>,
    timeout: Duration,
) -> Result<(), SessionError> {
    group.retain(|request| !request.done.is_closed()); // nobody waits for these any more
    let outcome = tokio::time::timeout(timeout, confirm_all(channel, group)).await;
    let (answers, end): (Vec<_>, _) = match outcome {
        Ok(Ok(confirmations)) => match settle(&confirmations) {
            Settlement::Confirmed => (vec![Ok(()); group.len()], Ok(())),
            Settlement::Refused => (confirmations.iter().map(acknowledged).collect(), Ok(())),
            Settlement::Returned => (
                vec![Err(PublishError::Unroutable); group.len()],
                Err(SessionError::Broken("a message came back: its queue is not there")),
            ),
        },
        Ok(Err(error)) => (vec![Err(PublishError::Lost); group.len()], Err(error.into())),
        Err(_elapsed) => (
            vec![Err(PublishError::TimedOut); group.len()],
            Err(SessionError::Broken("the broker confirms too slowly")),
        ),
    };
    for (request, answer) in group.drain(..).zip(answers) {
        if request.done.send(answer).is_err() {
            tracing::debug!("a publish was settled after its requester had gone");
        }
    }
    end
}

/// Publishes every message, then waits for every confirm.
async fn confirm_all(channel: &Channel, group: &[Request]) -> Result<Vec<Confirmation>, Error> {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let mut confirms = Vec::with_capacity(group.len());
    for request in group {
        let (queue, properties) = (request.queue.as_ref().into(), request.properties.clone());
        confirms.push(channel.basic_publish("".into(), queue, options, &request.body, properties).await?);
    }
    join_all(confirms).await.into_iter().collect()
}

/// Only `Ack(None)` is success, and only for a group without a return.
fn settle(confirmations: &[Confirmation]) -> Settlement {
    let returned =
        |confirmation: &Confirmation| matches!(confirmation, Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)));
    if confirmations.iter().any(returned) {
        Settlement::Returned
    } else if confirmations.iter().all(|confirmation| *confirmation == Confirmation::Ack(None)) {
        Settlement::Confirmed
    } else {
        Settlement::Refused
    }
}

fn acknowledged(confirmation: &Confirmation) -> Result<(), PublishError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(PublishError::Refused),
    }
}

#[cfg(test)]
mod tests {
    use lapin::message::{BasicReturnMessage, Delivery};

    use super::*;

    fn returned() -> BasicReturnMessage {
        let delivery = Delivery::mock(0, "".into(), "gone".into(), false, Vec::new());
        BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
    }

    #[test]
    fn one_return_fails_the_whole_group_wherever_it_was_attached() {
        let ack = || Confirmation::Ack(None);
        for position in 0..3 {
            let mut group = vec![ack(), ack(), ack()];
            group[position] = Confirmation::Ack(Some(returned()));
            assert_eq!(settle(&group), Settlement::Returned);
        }
        assert_eq!(settle(&[ack(), Confirmation::Nack(None)]), Settlement::Refused);
        assert_eq!(settle(&[ack(), Confirmation::NotRequested]), Settlement::Refused);
        assert_eq!(settle(&[ack(), ack()]), Settlement::Confirmed);
    }
}
