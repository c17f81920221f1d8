//! What the overview shows, made from the monitor's latest look: numbers, and what they mean.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::judge::{Concern, judge};
use super::limits::{self, LimitView};
use crate::server::monitor::Known;
use crate::server::monitor::counts::Counts;
use crate::server::monitor::flow::Batches;
use crate::server::monitor::ring::Bound;
use crate::server::monitor::services::{Instance, Service};
use crate::server::state::Console;

/// Seconds that rates are taken over.
const RATE_WINDOW_S: i64 = 60;
/// Seconds that latencies and batches are taken over.
const LATENCY_WINDOW_S: i64 = 300;

/// The state of an installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    /// What needs somebody, the worst first; empty when all is fine.
    pub(crate) concerns: Vec<Concern>,
    /// Events a minute, over the last minute.
    pub(crate) per_minute: Rates,
    /// From receipt to commit, over the last five minutes.
    pub(crate) latency: Latency,
    /// The broker's queues; empty while they are not known.
    pub(crate) queues: Vec<QueueView>,
    /// Each ingest's spool.
    pub(crate) spools: Vec<SpoolView>,
    /// The outbox by state.
    pub(crate) outbox: Vec<StateView>,
    /// The workers that are watched.
    pub(crate) workers: Vec<WorkerView>,
    /// Every limit that has a metric, the nearest first.
    pub(crate) limits: Vec<LimitView>,
}

/// Events a minute.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Rates {
    pub(crate) received: f64,
    pub(crate) processed: f64,
    pub(crate) duplicates: f64,
    pub(crate) refused: f64,
    pub(crate) retried: f64,
    pub(crate) parked: f64,
    /// Effects that their peers accepted.
    pub(crate) effects_sent: f64,
    /// Attempts to send one that did not succeed.
    pub(crate) effects_unsent: f64,
}

/// Seconds that a share of the webhooks stayed within; `null` when there were none.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Latency {
    pub(crate) p50_s: Option<f64>,
    pub(crate) p95_s: Option<f64>,
    pub(crate) p99_s: Option<f64>,
}

/// A queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueView {
    pub(crate) queue: String,
    /// Messages that wait; `null` when there is no such queue.
    pub(crate) ready: Option<u32>,
    pub(crate) consumers: Option<u32>,
    /// How long the first message has waited, in seconds; `null` when none waits, or that is not known.
    pub(crate) oldest_age_s: Option<i64>,
    /// Whether it has waited for that long at most or at least.
    pub(crate) oldest_age_is: Option<Bound>,
}

/// An ingest's spool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpoolView {
    pub(crate) ingest: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_limit: u64,
    pub(crate) oldest_age_s: u64,
    pub(crate) corrupt_files: u64,
}

/// Rows of the outbox in one state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateView {
    pub(crate) state: String,
    /// Counted up to a bound; beyond it, the bound.
    pub(crate) rows: i64,
    /// Whether there may be more rows than that.
    pub(crate) at_least: bool,
    /// The age of the oldest of those counted, in seconds.
    pub(crate) oldest_age_s: Option<i64>,
}

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerView {
    pub(crate) address: String,
    /// Why it does not answer, or what it misses; empty when it is ready.
    pub(crate) misses: Vec<String>,
    /// When it last answered; `null` when it never did.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) answered_at: Option<OffsetDateTime>,
    /// Webhooks in a transaction, on the average over the last five minutes; `null` when there was none.
    pub(crate) batch_size: Option<f64>,
    /// Deliveries taken and not yet settled.
    pub(crate) in_flight: Option<f64>,
    /// Effects being sent.
    pub(crate) sending: Option<f64>,
}

impl Overview {
    /// As the monitor saw it last.
    pub(crate) fn of(console: &Console, now: OffsetDateTime) -> Self {
        let (known, config) = (&*console.monitor.known(), &console.config);
        let (counts, seconds) = known.ring.last(RATE_WINDOW_S);
        let (latencies, _seconds) = known.ring.last(LATENCY_WINDOW_S);
        let limits = limits::read(known, config, &console.jobs);
        Self {
            concerns: judge(known, config, &limits, now),
            per_minute: Rates::of(&counts, seconds),
            latency: Latency::of(&latencies),
            queues: queues(known),
            spools: known.services.iter().filter_map(spool).collect(),
            outbox: outbox(known, now),
            workers: workers(known),
            limits,
        }
    }
}

impl Rates {
    /// What was counted in so many seconds, a minute.
    pub(crate) fn of(counts: &Counts, seconds: f64) -> Self {
        let a_minute = |count: f64| if seconds > 0.0 { count * 60.0 / seconds } else { 0.0 };
        Self {
            received: a_minute(counts.received),
            processed: a_minute(counts.processed),
            duplicates: a_minute(counts.duplicates),
            refused: a_minute(counts.refused),
            retried: a_minute(counts.retried),
            parked: a_minute(counts.parked),
            effects_sent: a_minute(counts.sent),
            effects_unsent: a_minute(counts.unsent),
        }
    }
}

fn queues(known: &Known) -> Vec<QueueView> {
    let Some(Ok(queues)) = &known.queues else { return Vec::new() };
    let view = |(position, depth): (usize, &shared::amqp::QueueDepth)| {
        let age = known.ring.head_age(position);
        QueueView {
            queue: depth.queue.clone(),
            ready: depth.ready,
            consumers: depth.consumers,
            oldest_age_s: age.map(|age| age.seconds),
            oldest_age_is: age.map(|age| age.bound),
        }
    };
    queues.iter().enumerate().map(view).collect()
}

fn spool(instance: &Instance) -> Option<SpoolView> {
    let number = |name: &str| instance.sum(name).map(|value| value as u64);
    Some(SpoolView {
        ingest: instance.address.clone(),
        files: number("webhook_spool_files")?,
        bytes: number("webhook_spool_bytes")?,
        bytes_limit: number("webhook_spool_bytes_limit").unwrap_or(0),
        oldest_age_s: number("webhook_spool_oldest_age_seconds").unwrap_or(0),
        corrupt_files: number("webhook_spool_corrupt_files").unwrap_or(0),
    })
}

fn workers(known: &Known) -> Vec<WorkerView> {
    let workers = known.services.iter().filter(|one| one.service == Service::Worker);
    workers.map(|one| WorkerView::of(one, known.ring.batches(&one.address, LATENCY_WINDOW_S))).collect()
}

impl WorkerView {
    /// What a worker says, and the batches that it committed of late.
    pub(crate) fn of(instance: &Instance, batches: Batches) -> Self {
        Self {
            address: instance.address.clone(),
            misses: match &instance.said {
                Ok(said) => said.misses.clone(),
                Err(error) => vec![error.clone()],
            },
            answered_at: instance.answered_at,
            batch_size: batches.mean(),
            in_flight: instance.sum("worker_in_flight"),
            sending: instance.sum("worker_effects_sending"),
        }
    }
}

impl Latency {
    /// Of what was counted.
    pub(crate) fn of(counts: &Counts) -> Self {
        Self { p50_s: counts.latency(0.5), p95_s: counts.latency(0.95), p99_s: counts.latency(0.99) }
    }
}

/// The states in which a row is not done with, in the order of its life. What was sent or cancelled is kept by the million, and
/// not counted.
fn outbox(known: &Known, now: OffsetDateTime) -> Vec<StateView> {
    let Some(Ok(rows)) = &known.rows else { return Vec::new() };
    let order = ["pending", "sending", "held", "failed", "ambiguous"];
    let view = |state: &str| {
        let count = rows.outbox.iter().find(|count| count.state == state);
        StateView {
            state: state.to_owned(),
            rows: count.map_or(0, |count| count.rows),
            at_least: count.is_some_and(|count| count.rows >= crate::output::COUNTED_TO),
            oldest_age_s: count.and_then(|count| count.oldest).map(|oldest| (now - oldest).whole_seconds().max(0)),
        }
    };
    order.into_iter().map(view).collect()
}
