//! One look at everything that moves.

use std::time::Duration;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error as DbError;
use serde::Serialize;
use shared::amqp::{BrokerConnection, QueueDepth, Topology};
use shared::config::Config;
use shared::db::outbox::counts::BoundedCount;
use shared::db::parked_webhooks::rows::BoundedReason;
use shared::db::processed_webhooks::activity;
use shared::db::webhook_failures;
use shared::error_chain::error_chain;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::traffic::{Looks, Traffic};
use crate::connect;
use crate::output::{Shown, Tone, age, counted, painted, table, verdict};
use crate::server::monitor::Known;
use crate::server::monitor::rows::{self, Rows};
use crate::server::monitor::services::Instance;
use crate::server::overview::judge::concerns;
use crate::settings::Settings;
use crate::spool_gauges::{self, SpoolGauges};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Over how many seconds rates are taken.
const RATE_S: u32 = 10;

/// What goes on.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What needs a person; empty when all is fine.
    attention: Vec<String>,
    /// `null` when the broker did not answer.
    queues: Option<Vec<QueueDepth>>,
    /// `null` when the database did not answer.
    database: Option<Counted>,
    /// What flows; `null` when neither ingest nor a worker was named.
    traffic: Option<Traffic>,
    /// Each ingest's spool; `null` when no ingest was named.
    spool: Option<Vec<SpoolGauges>>,
}

/// What the database tells.
#[derive(Debug, Serialize)]
struct Counted {
    /// Over the last 10 seconds.
    processed_per_second: f64,
    /// Over the last 10 seconds.
    failed_per_second: f64,
    /// By state, counted up to 10,000.
    outbox: Vec<BoundedCount>,
    /// By reason, counted up to 10,000 each.
    parked: Vec<BoundedReason>,
}

/// Looks again and again, on connections that are kept while they work.
pub(super) struct Watch<'s> {
    settings: &'s Settings,
    config: Config,
    topology: Topology,
    broker: Option<BrokerConnection>,
    database: Option<Client>,
    looks: Option<Looks>,
    /// As it was seen last: who falls silent keeps the time of the last answer.
    known: Known,
}

impl<'s> Watch<'s> {
    /// # Errors
    /// When this machine can ask nobody for metrics.
    pub(super) fn new(settings: &'s Settings, config: Config) -> reqwest::Result<Self> {
        let topology = Topology::new(&config.queue);
        let looks = Looks::at(settings)?;
        Ok(Self { settings, config, topology, broker: None, database: None, looks, known: Known::default() })
    }

    /// Looks at what is counted since services started, so that the next look knows what flowed. Whether there was anybody
    /// to look at.
    pub(super) async fn begin(&mut self) -> bool {
        traffic(self.settings, &mut self.looks).await.is_some()
    }

    /// Looks at everything; what does not answer is among what is wrong.
    pub(super) async fn look(&mut self) -> Snapshot {
        let Self { settings, config, topology, broker, database, looks, known } = self;
        let (queues, database, traffic) = tokio::join!(
            patiently(queues(settings, topology, config.queue.heartbeat_s, broker)),
            patiently(rows(settings, database)),
            traffic(settings, looks),
        );
        let (counted, rows) = match database {
            Ok((counted, rows)) => (Some(counted), Ok(rows)),
            Err(error) => (None, Err(error)),
        };
        let (traffic, services) = traffic.unzip();
        let services = services.unwrap_or_default();
        let spool = settings.ingest_ops_url.is_some().then(|| SpoolGauges::of_all(&services));
        known.set_services(services);
        known.set_queues(queues.clone());
        known.set_rows(rows);
        let (attention, queues) = (concerns(known, config), queues.ok());
        Snapshot { at: OffsetDateTime::now_utc(), attention, queues, database: counted, traffic, spool }
    }
}

async fn patiently<T>(look: impl Future<Output = anyhow::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(looked) => looked.map_err(|error| error_chain(error.as_ref())),
        Err(_elapsed) => Err(format!("not within {} s", PATIENCE.as_secs())),
    }
}

/// Takes the kept connection out, and puts it back when it has answered.
async fn queues(
    settings: &Settings,
    topology: &Topology,
    heartbeat_s: u16,
    kept: &mut Option<BrokerConnection>,
) -> anyhow::Result<Vec<QueueDepth>> {
    let connection = match kept.take() {
        Some(connection) => connection,
        None => connect::broker(settings, heartbeat_s)?.connect("top").await?,
    };
    let depths = topology.depths(&connection).await?;
    *kept = Some(connection);
    Ok(depths)
}

async fn rows(settings: &Settings, kept: &mut Option<Client>) -> anyhow::Result<(Counted, Rows)> {
    let client = match kept.take() {
        Some(client) => client,
        None => connect::database(settings).await?,
    };
    let rows = ask(&client).await?;
    *kept = Some(client);
    Ok(rows)
}

async fn ask(client: &Client) -> Result<(Counted, Rows), DbError> {
    let per_second = |count: i64| u32::try_from(count).map_or(f64::INFINITY, f64::from) / f64::from(RATE_S);
    let rows = rows::read(client).await?;
    let counted = Counted {
        processed_per_second: per_second(activity::processed_within(client, RATE_S.into()).await?),
        failed_per_second: per_second(webhook_failures::count_within(client, RATE_S.into()).await?),
        outbox: rows.outbox.clone(),
        parked: rows.parked.clone(),
    };
    Ok((counted, rows))
}

async fn traffic(settings: &Settings, looks: &mut Option<Looks>) -> Option<(Traffic, Vec<Instance>)> {
    Some(looks.as_mut()?.look(settings).await)
}

impl Counted {
    fn text(&self, now: OffsetDateTime) -> String {
        let Self { processed_per_second, failed_per_second, outbox, .. } = self;
        let old = |count: &BoundedCount| count.oldest.map_or_else(|| "-".to_owned(), |oldest| age(now - oldest));
        let rows =
            |count: &BoundedCount| if count.state == "all" { count.rows.to_string() } else { counted(count.rows) };
        let row = |count: &BoundedCount| [count.state.clone(), rows(count), old(count)];
        format!(
            "processed: {processed_per_second:.1}/s   failed attempts: {failed_per_second:.1}/s\n\n{}",
            table(["OUTBOX", "ROWS", "OLDEST"], outbox.iter().map(row))
        )
    }
}

impl Snapshot {
    /// Whether nothing needs a person.
    pub(crate) fn is_fine(&self) -> bool {
        self.attention.is_empty()
    }
}

impl Shown for Snapshot {
    fn text(&self) -> String {
        let at = self.at.replace_nanosecond(0).unwrap_or(self.at).format(&Rfc3339).unwrap_or_default();
        let mut sections =
            vec![format!("{}  {at}\n{}", painted(Tone::Strong, "oncehook top"), verdict(&self.attention))];
        sections.extend(self.traffic.as_ref().map(Traffic::text));
        sections.extend(self.database.as_ref().map(|rows| rows.text(self.at)));
        let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let row = |queue: &QueueDepth| [queue.queue.clone(), number(queue.ready), number(queue.consumers)];
        let head = ["QUEUE", "READY", "CONSUMERS"];
        sections.extend(self.queues.as_ref().map(|queues| table(head, queues.iter().map(row))));
        sections.extend(self.spool.as_deref().map(spool_gauges::text));
        sections.join("\n")
    }
}
