//! Where a command publishes to: the work queue, with confirms.

use std::time::Duration;

use anyhow::Context;
use shared::amqp::{LinkState, PublishError, Publisher, PublisherConfig, Topology};
use shared::config::QueueConfig;
use shared::error_chain::error_chain;
use shared::failpoint;
use shared::message::Message;
use shared::traces::{Span, names};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Report;
use crate::connect;
use crate::settings::Settings;

/// How long publish and confirm may take. Far below the minute after which an unfinished redrive counts as parked.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the queues may take to be declared.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A publisher to the work queue.
pub(crate) struct Outlet {
    publisher: Publisher,
    queue: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Outlet {
    /// Connects and declares the queues.
    ///
    /// # Errors
    /// When the broker does not take messages; nothing is published then.
    pub(crate) async fn open(settings: &Settings, config: &QueueConfig) -> anyhow::Result<Self> {
        let broker = connect::broker(settings, config.heartbeat_s)?;
        // The supervisor would try for ever; a person wants to know why it does not work.
        let probe = broker.connect("probe").await.context("the broker is away (AMQP_URL); nothing is done")?;
        probe.close(200, "asked".into()).await.context("cannot close the connection to the broker; nothing is done")?;
        let (topology, stop) = (Topology::new(config), CancellationToken::new());
        let publisher_config = PublisherConfig::new(config, PUBLISH_TIMEOUT);
        let (publisher, task) = Publisher::spawn(broker, topology.clone(), &publisher_config, stop.clone());
        let outlet = Self { publisher, queue: topology.webhooks(), stop, task };
        let mut link = outlet.publisher.link();
        let up = tokio::time::timeout(READY_TIMEOUT, link.wait_for(|state| *state == LinkState::Up)).await;
        let is_up = matches!(up, Ok(Ok(_)));
        drop(up);
        if is_up {
            return Ok(outlet);
        }
        outlet.close().await?;
        anyhow::bail!("the queues cannot be declared within {} s; nothing is done", READY_TIMEOUT.as_secs())
    }

    /// Publishes to the work queue and waits for the confirm.
    ///
    /// # Errors
    /// When the message is not known to be on the queue.
    pub(crate) async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let span = Span::producer(&self.queue, message.traceparent.as_deref());
        let published = match &span {
            None => self.publisher.publish(&self.queue, message).await,
            Some(span) => {
                let message = Message { traceparent: Some(span.traceparent()), ..message.clone() };
                self.publisher.publish(&self.queue, &message).await
            }
        };
        if let Some(span) = &span {
            describe(span, message, published);
        }
        published?;
        failpoint::reach("console.published");
        Ok(())
    }

    /// Disconnects. That the publisher ended badly is told in the report, beside what was done until then.
    pub(crate) async fn close_behind(self, report: anyhow::Result<Report>) -> anyhow::Result<Report> {
        let closed = self.close().await;
        let mut report = report?;
        if let Err(error) = closed {
            report.stop(error_chain(error.as_ref()));
        }
        Ok(report)
    }

    /// Disconnects.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the publisher ended badly")
    }
}

/// Says in a span what was published, and how that ended.
fn describe(span: &Span, message: &Message, published: Result<(), PublishError>) {
    span.set(names::MESSAGING_MESSAGE_ID, message.id.clone());
    span.set(names::WEBHOOK_SOURCE, message.source.to_string());
    span.set(names::WEBHOOK_TOPIC, message.topic.clone());
    span.set(names::OUTCOME, if message.replay().is_some() { "replayed" } else { "redriven" });
    if let Err(error) = published {
        span.fail(error.code(), error.to_string());
    }
}
