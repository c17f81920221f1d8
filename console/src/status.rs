//! `oncehook status`: one look says "fine" or what needs a person.

use anyhow::Context;
use serde::Serialize;
use shared::amqp::{QueueDepth, Topology};
use shared::config::Config;
use shared::db::outbox::counts::{self, StateCount};
use shared::db::parked_webhooks::{self, ReasonCount};
use time::OffsetDateTime;

use crate::connect;
use crate::output::{Shown, age, table, verdict};
use crate::settings::Settings;
use crate::spool_gauges::{self, SpoolGauges};

/// The state of an installation.
#[derive(Serialize)]
pub(crate) struct Status {
    queues: Vec<QueueDepth>,
    /// Workers attached to the work queue.
    workers: Option<u32>,
    /// Each ingest's spool; `null` when no ingest was named.
    spool: Option<Vec<SpoolGauges>>,
    outbox: Vec<StateCount>,
    parked: Vec<ReasonCount>,
    /// What needs a person; empty when all is fine.
    attention: Vec<String>,
}

impl Status {
    /// Whether nothing needs a person.
    pub(crate) fn is_fine(&self) -> bool {
        self.attention.is_empty()
    }
}

pub(crate) async fn gather(settings: &Settings) -> anyhow::Result<Status> {
    let config = Config::load(&settings.config)?;
    let topology = Topology::new(&config.queue);
    let connection = connect::broker(settings, config.queue.heartbeat_s)?.connect("status").await?;
    let queues = topology.depths(&connection).await?;
    connection.close(200, "asked".into()).await.context("cannot close the connection to the broker")?;
    let client = connect::database(settings).await?;
    let outbox = counts::by_state(&**client).await.context("cannot read the outbox")?;
    let parked = parked_webhooks::count_by_reason(&**client).await.context("cannot read the parked webhooks")?;
    let spool = spool_gauges::ask(settings).await.context("cannot ask the ingests")?;
    let workers = queues.first().and_then(|queue| queue.consumers);
    let mut attention = attention(&queues, workers, &outbox, &parked);
    attention.extend(spool.iter().flatten().flat_map(SpoolGauges::attention));
    Ok(Status { queues, workers, spool, outbox, parked, attention })
}

fn attention(
    queues: &[QueueDepth],
    workers: Option<u32>,
    outbox: &[StateCount],
    parked: &[ReasonCount],
) -> Vec<String> {
    let mut attention = Vec::new();
    let missing = queues.iter().filter(|queue| queue.ready.is_none());
    attention
        .extend(missing.map(|queue| format!("queue {} is not there; a service declares it at start", queue.queue)));
    if workers.unwrap_or(0) == 0 {
        attention.push("no worker takes from the queue".to_owned());
    }
    for reason in parked {
        attention.push(format!("parked: {} ({})", reason.reason, reason.rows));
    }
    for state in outbox.iter().filter(|state| matches!(state.state.as_str(), "held" | "failed")) {
        attention.push(format!("effects {}: {} wait for a person", state.state, state.rows));
    }
    attention
}

impl Shown for Status {
    fn text(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let queue = |queue: &QueueDepth| [queue.queue.clone(), number(queue.ready), number(queue.consumers)];
        let now = OffsetDateTime::now_utc();
        let state = |row: &StateCount| {
            [row.state.clone(), row.rows.to_string(), row.ambiguous.to_string(), age(now - row.oldest)]
        };
        let reason = |row: &ReasonCount| [row.reason.clone(), row.rows.to_string(), age(now - row.oldest)];
        let mut sections = vec![
            table(["QUEUE", "READY", "CONSUMERS"], self.queues.iter().map(queue)),
            format!("workers: {}\n", number(self.workers)),
            self.spool.as_deref().map_or_else(spool_not_asked, spool_gauges::text),
        ];
        if !self.outbox.is_empty() {
            sections.push(table(["OUTBOX", "ROWS", "AMBIGUOUS", "OLDEST"], self.outbox.iter().map(state)));
        }
        if !self.parked.is_empty() {
            sections.push(table(["PARKED", "ROWS", "OLDEST"], self.parked.iter().map(reason)));
        }
        sections.push(verdict(&self.attention));
        sections.join("\n")
    }
}

fn spool_not_asked() -> String {
    "spool: not asked; INGEST_OPS_URL says where ingest is\n".to_owned()
}
