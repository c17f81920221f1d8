//! A publisher's session: its channels on one connection, each publishing a group at a time.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PublisherConfig;
use super::group::{self, Confirm, ConfirmChannel};
use super::requests::{GroupLimits, Request, Requests};
use crate::amqp::{LinkState, Session, SessionError, Topology, set_up};
use crate::failpoint;

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
        let Some(channels) = set_up(stop, self.open(connection, link)).await? else { return Ok(()) };
        link.send_replace(LinkState::Up);
        tokio::select! {
            ended = publish_all(&channels, &self.requests, self.config.limits(), stop) => ended,
            error = watch_blocks(connection, link) => Err(error),
            () = stopped_while_blocked(stop, link.subscribe()) => Ok(()),
        }
    }
}

impl PublishSession {
    /// Declares the queues and opens the channels.
    async fn open(
        &self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
    ) -> Result<Vec<LapinChannel>, SessionError> {
        self.topology.declare(connection).await?;
        let mut channels = Vec::new();
        for _ in 0..self.config.channels {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            channels.push(LapinChannel { channel, timeout: self.config.timeout, link: link.subscribe() });
        }
        Ok(channels)
    }
}

/// Publishes on all channels side by side until told to stop, until all requesters are gone, or
/// until one channel fails: then the groups in hand on the others are lost with it.
pub(super) async fn publish_all(
    channels: &[impl ConfirmChannel],
    requests: &Requests,
    limits: GroupLimits,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    let lanes: Vec<BoxFuture<'_, _>> =
        channels.iter().map(|channel| publish_groups(channel, requests, limits, stop).boxed()).collect();
    try_join_all(lanes).await?;
    Ok(())
}

/// One channel's work: take a group, publish it, settle it, again. A group in hand is finished
/// before it stops.
async fn publish_groups(
    channel: &impl ConfirmChannel,
    requests: &Requests,
    limits: GroupLimits,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    let mut group = Vec::with_capacity(limits.messages);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = requests.take(&mut group, limits) => {}
        }
        if group.is_empty() {
            return Ok(());
        }
        failpoint::reach("publisher.group");
        group::publish(channel, &mut group).await?;
    }
}

/// A channel of the real broker.
struct LapinChannel {
    channel: Channel,
    /// The budget for a group, of time in which the broker does not block publishers.
    timeout: Duration,
    /// Whether it does.
    link: watch::Receiver<LinkState>,
}

impl ConfirmChannel for LapinChannel {
    type Confirming = BoxFuture<'static, Result<Confirm, SessionError>>;

    async fn publish(&self, request: &Request) -> Result<Self::Confirming, SessionError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let (queue, properties) = (request.queue.as_ref().into(), request.properties.clone());
        let confirming = self.channel.basic_publish("".into(), queue, options, &request.body, properties).await?;
        Ok(confirming.map(|confirmation| Ok(read(&confirmation?))).boxed())
    }

    /// While the broker blocks publishers it is never too late, although the requesters have long been told: the
    /// confirms come afterwards, and until then no other group may begin on the channel. The budget begins anew then.
    async fn too_late(&self) {
        let mut link = self.link.clone();
        while link.wait_for(|state| *state != LinkState::Blocked).await.is_ok() {
            let blocked = link.wait_for(|state| *state == LinkState::Blocked);
            let Ok(Ok(_again)) = tokio::time::timeout(self.timeout, blocked).await else { return };
        }
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

/// Told to stop, a group in hand is finished, unless the broker takes nothing for nobody knows how long.
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
    use lapin::message::{BasicReturnMessage, Delivery};

    use super::*;

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
