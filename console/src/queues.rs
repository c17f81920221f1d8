//! `oncehook queues`: what each queue is for, and how full it is.
//!
//! Asked with passive declarations, which touch no message. AMQP tells neither bytes nor ages, nor what a worker holds,
//! and reading a message to learn its age would raise its delivery count; RabbitMQ's own metrics have the bytes.

use anyhow::Context;
use serde::Serialize;
use shared::amqp::{QueueDepth, Topology};
use shared::config::{Config, QueueConfig};

use crate::connect;
use crate::output::{Shown, concerns, table};
use crate::settings::Settings;

/// All queues.
#[derive(Debug, Serialize)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    /// Bytes of waiting bodies beyond which webhooks go to the spool; `queue.max_bytes`.
    max_bytes: i64,
    /// What needs a person; empty when all is fine.
    attention: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Queue {
    #[serde(flatten)]
    depth: QueueDepth,
    role: Role,
    /// How long a message waits in it at least, in seconds; `null` where it waits for a worker.
    delay_s: Option<u64>,
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Webhooks that wait for a worker.
    Work,
    /// Webhooks that came in one body with others, and wait for a worker.
    Elements,
    /// Webhooks that were delivered too often: each is run alone.
    Suspect,
    /// What the broker has given up, until a worker parks it.
    Dead,
    /// Webhooks that failed and wait for their next attempt.
    Retry,
}

impl Queues {
    /// Whether nothing needs a person.
    pub(crate) fn is_fine(&self) -> bool {
        self.attention.is_empty()
    }

    fn new(depths: Vec<QueueDepth>, topology: &Topology, config: &QueueConfig) -> Self {
        let delays: Vec<(String, u64)> =
            config.retry_delays().into_iter().map(|delay| (topology.retry(delay), delay.as_secs())).collect();
        let queue = |depth: QueueDepth| {
            let delay_s = delays.iter().find(|(name, _)| *name == depth.queue).map(|(_, delay_s)| *delay_s);
            let role = Role::of(&depth.queue, topology);
            Queue { depth, role, delay_s }
        };
        let queues: Vec<Queue> = depths.into_iter().map(queue).collect();
        let attention = queues.iter().filter_map(Queue::attention).collect();
        Self { queues, max_bytes: config.max_bytes, attention }
    }
}

/// Asks the broker.
///
/// # Errors
/// When the broker is away.
pub(crate) async fn look(settings: &Settings) -> anyhow::Result<Queues> {
    let config = Config::load(&settings.config)?;
    let topology = Topology::new(&config.queue);
    let connection = connect::broker(settings, config.queue.heartbeat_s)?.connect("queues").await?;
    let depths = topology.depths(&connection).await?;
    connection.close(200, "asked".into()).await.context("cannot close the connection to the broker")?;
    Ok(Queues::new(depths, &topology, &config.queue))
}

impl Role {
    /// Of one of the topology's queues.
    pub(crate) fn of(queue: &str, topology: &Topology) -> Self {
        match queue {
            name if name == topology.webhooks() => Self::Work,
            name if name == topology.elements() => Self::Elements,
            name if name == topology.suspect() => Self::Suspect,
            name if name == topology.dead() => Self::Dead,
            _ => Self::Retry,
        }
    }
}

impl Queue {
    fn attention(&self) -> Option<String> {
        let QueueDepth { queue, ready, consumers } = &self.depth;
        match (ready, consumers, self.role) {
            (None, ..) => Some(format!("{queue} is not there; ingest and the workers declare it when they connect")),
            (_, Some(0), Role::Work | Role::Elements | Role::Suspect | Role::Dead) => {
                Some(format!("no worker takes from {queue}"))
            }
            _ => None,
        }
    }

    fn purpose(&self) -> String {
        match (self.role, self.delay_s) {
            (Role::Work, _) => "waits for a worker".to_owned(),
            (Role::Elements, _) => "came in a body with others, waits for a worker".to_owned(),
            (Role::Suspect, _) => "was delivered too often, is run alone".to_owned(),
            (Role::Dead, _) => "was given up by the broker, will be parked".to_owned(),
            (Role::Retry, delay_s) => format!("failed, is tried again after {} s", delay_s.unwrap_or_default()),
        }
    }
}

impl Shown for Queues {
    fn text(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let row = |queue: &Queue| {
            let QueueDepth { queue: name, ready, consumers } = &queue.depth;
            [name.clone(), number(*ready), number(*consumers), queue.purpose()]
        };
        table(["QUEUE", "READY", "CONSUMERS", "WHAT IS IN IT"], self.queues.iter().map(row))
            + &concerns(&self.attention)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_says_what_it_is_for_and_whether_somebody_takes_from_it() {
        let config = QueueConfig { retry_delays_s: vec![5, 120], ..QueueConfig::default() };
        let topology = Topology::new(&config);
        let depth = |(queue, number): (String, u32)| {
            let known = (queue != "webhooks.retry.2m").then_some(number);
            QueueDepth { queue, ready: known, consumers: known }
        };
        let depths = topology.names().into_iter().zip(0..).map(depth).collect();
        let queues = Queues::new(depths, &topology, &config);
        insta::assert_snapshot!(crate::output::plain(&queues.text()), @r"
         QUEUE              READY  CONSUMERS  WHAT IS IN IT
         webhooks           0      0          waits for a worker
         webhooks.elements  1      1          came in a body with others, waits for a worker
         webhooks.suspect   2      2          was delivered too often, is run alone
         webhooks.dead      3      3          was given up by the broker, will be parked
         webhooks.retry.5s  4      4          failed, is tried again after 5 s
         webhooks.retry.2m  -      -          failed, is tried again after 120 s
        ! no worker takes from webhooks
        ! webhooks.retry.2m is not there; ingest and the workers declare it when they connect
        ");
        assert!(!queues.is_fine());
    }
}
