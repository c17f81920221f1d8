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
use crate::server::monitor::Known;
use crate::server::monitor::rows;
use crate::server::monitor::services::Asker;
use crate::server::overview::judge::concerns;
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
    /// What needs a person, as the console's overview says it, but for what takes watching (how long the head of a queue has
    /// waited, requests that are not genuine, bytes in the queue); empty when all is fine.
    attention: Vec<String>,
    /// Whether any worker was asked where it reaches.
    #[serde(skip)]
    workers_asked: bool,
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
    let rows = rows::read(&client).await.context("cannot read the database")?;
    let services = Asker::new().context("cannot ask for metrics")?.ask_all(settings).await;
    let spool = settings.ingest_ops_url.is_some().then(|| SpoolGauges::of_all(&services));
    let workers_asked = settings.worker_ops_url.is_some();
    let workers = queues.first().and_then(|queue| queue.consumers);
    let known = Known { services, queues: Some(Ok(queues.clone())), rows: Some(Ok(rows)), ..Known::default() };
    let attention = concerns(&known, &config);
    Ok(Status { queues, workers, spool, outbox, parked, attention, workers_asked })
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
        if !self.workers_asked {
            sections.push(
                "mail servers and services: not asked for; WORKER_OPS_URL says where the workers are\n".to_owned(),
            );
        }
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
