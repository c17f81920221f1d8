//! A publisher's session: one channel in confirm mode, and the window of what is in flight on it.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PublisherConfig;
use super::requests::{Outgoing, Requests};
use super::window::{Confirm, ConfirmChannel, Window};
use crate::amqp::{LinkState, Session, SessionError, Topology, set_up};
use crate::failpoint;

/// How long the newest batch is on its way before the broker counts as slow: a good sync is over by then, and one that takes
/// long takes 20 ms and more.
const SLOW: Duration = Duration::from_millis(3);

/// What the publisher does with a connection.
pub(super) struct PublishSession {
    pub(super) topology: Topology,
    pub(super) config: PublisherConfig,
    pub(super) requests: Requests,
}

impl Session for PublishSession {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let Some(channel) = set_up(stop, self.open(connection, link)).await? else { return Ok(()) };
        link.send_replace(LinkState::Up);
        tokio::select! {
            ended = publish_all(&channel, &mut self.requests, &self.config, stop) => ended,
            error = watch_blocks(connection, link) => Err(error),
            () = stopped_while_blocked(stop, link.subscribe()) => Ok(()),
        }
    }
}

impl PublishSession {
    /// Declares the queues and opens the channel.
    async fn open(
        &self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
    ) -> Result<LapinChannel, SessionError> {
        self.topology.declare(connection).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(LapinChannel { channel, timeout: self.config.timeout, link: link.subscribe() })
    }
}

/// Publishes what is handed in as far as the window has room, and settles it, until told to stop, until all
/// requesters are gone, or until the channel fails. What is in flight is finished before it stops.
pub(super) async fn publish_all(
    channel: &impl ConfirmChannel,
    requests: &mut Requests,
    config: &PublisherConfig,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    let mut window = Window::new(channel, config.window, config.metrics.in_flight.clone());
    let mut too_late = pin!(channel.too_late());
    let mut slow = pin!(channel.slow());
    let mut stopped = pin!(stop.cancelled());
    let mut takes = true;
    while takes || !window.is_empty() {
        let room = window.room();
        tokio::select! {
            biased;
            settled = window.settle() => {
                settled?;
                too_late.set(channel.too_late());
            }
            () = &mut too_late, if !window.is_empty() => {
                return Err(SessionError::Broken("the broker confirms too slowly"));
            }
            () = &mut slow, if takes && window.is_crowded() => window.allow_one_more(),
            () = &mut stopped, if takes => takes = false,
            request = requests.take(room), if takes => {
                if window.is_empty() {
                    too_late.set(channel.too_late());
                }
                failpoint::reach("publisher.publish");
                match request {
                    Some(request) => {
                        window.publish(request, |room| requests.try_take(room));
                        slow.set(channel.slow());
                    }
                    None => takes = false,
                }
            }
        }
    }
    Ok(())
}

/// A channel of the real broker.
struct LapinChannel {
    channel: Channel,
    /// How long nothing may be confirmed, of time in which the broker does not block publishers.
    timeout: Duration,
    /// Whether it does.
    link: watch::Receiver<LinkState>,
}

impl ConfirmChannel for LapinChannel {
    async fn publish(&self, message: Outgoing) -> Result<Confirm, SessionError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let queue = message.queue.as_ref().into();
        let publishing = self.channel.basic_publish("".into(), queue, options, &message.body, *message.properties);
        Ok(read(&publishing.await?.await?))
    }

    /// While the broker blocks publishers it is never too late, although the requesters have long been told: the
    /// confirms come afterwards. The budget begins anew then.
    async fn too_late(&self) {
        let mut link = self.link.clone();
        while link.wait_for(|state| *state != LinkState::Blocked).await.is_ok() {
            let blocked = link.wait_for(|state| *state == LinkState::Blocked);
            let Ok(Ok(_again)) = tokio::time::timeout(self.timeout, blocked).await else { return };
        }
    }

    async fn slow(&self) {
        tokio::time::sleep(SLOW).await;
    }
}

/// Only `Ack(None)` is an acknowledgement.
fn read(confirmation: &Confirmation) -> Confirm {
    match confirmation {
        Confirmation::Ack(None) => Confirm::Ack,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Confirm::Returned,
        Confirmation::Nack(None) | Confirmation::NotRequested => Confirm::Nack,
    }
}

/// Told to stop, what is in flight is finished, unless the broker takes nothing for nobody knows how long.
async fn stopped_while_blocked(stop: &CancellationToken, mut link: watch::Receiver<LinkState>) {
    stop.cancelled().await;
    if link.wait_for(|state| *state == LinkState::Blocked).await.is_err() {
        tracing::trace!("the link's state is told no more");
    }
}

/// Follows the broker's alarms: while blocked, publishing fails at once instead of hanging.
async fn watch_blocks(connection: &Connection, link: &watch::Sender<LinkState>) -> SessionError {
    let mut events = pin!(connection.events_listener());
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "the broker blocks publishers");
                link.send_replace(LinkState::Blocked);
            }
            Event::ConnectionUnblocked => {
                tracing::info!("the broker takes messages again");
                link.send_replace(LinkState::Up);
            }
            Event::Error(error) => return error.into(),
            _ => {}
        }
    }
    SessionError::Broken("the connection ended")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lapin::BasicProperties;
    use lapin::message::{BasicReturnMessage, Delivery};

    use super::super::requests::{Company, requests};
    use super::super::window::tests::Silent;
    use super::super::window::{BATCHES, WindowLimits};
    use super::*;
    use crate::amqp::MessagingMetrics;

    /// How many of a few messages that come one by one go out, while none is confirmed.
    fn sent_to(broker: &Silent) -> i64 {
        let window = WindowLimits { messages: usize::MAX, bytes: usize::MAX, batches: BATCHES };
        let config = PublisherConfig { window, timeout: Duration::MAX, metrics: MessagingMetrics::default() };
        let (submissions, mut requests) = requests(BATCHES);
        let stop = CancellationToken::new();
        let mut publishing = pin!(publish_all(broker, &mut requests, &config, &stop));
        let mut requesters = Vec::new();
        for _ in 0..BATCHES + 2 {
            let submit = submissions.submit(Company::Shared, "webhooks", BasicProperties::default(), vec![0].into());
            let mut requester = Box::pin(submit);
            assert!((&mut requester).now_or_never().is_none());
            assert!((&mut publishing).now_or_never().is_none());
            requesters.push(requester);
        }
        config.metrics.in_flight.messages.get()
    }

    #[test]
    fn what_comes_does_not_wait_for_a_slow_broker_to_confirm_what_came_before() {
        let batches = i64::try_from(BATCHES).unwrap();
        assert_eq!(sent_to(&Silent { is_slow: false }), batches);
        assert_eq!(sent_to(&Silent { is_slow: true }), batches + 2);
    }

    #[test]
    fn a_return_is_a_return_whatever_confirm_it_is_attached_to() {
        let delivery = || Delivery::mock(0, "".into(), "gone".into(), false, Vec::new());
        let returned =
            || Some(BasicReturnMessage { delivery: delivery(), reply_code: 312, reply_text: "NO_ROUTE".into() });
        assert_eq!(read(&Confirmation::Ack(None)), Confirm::Ack);
        assert_eq!(read(&Confirmation::Ack(returned())), Confirm::Returned);
        assert_eq!(read(&Confirmation::Nack(returned())), Confirm::Returned);
        assert_eq!(read(&Confirmation::Nack(None)), Confirm::Nack);
        assert_eq!(read(&Confirmation::NotRequested), Confirm::Nack);
    }
}
