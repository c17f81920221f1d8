//! How near everything is to its limit: what has a setting and a number to hold against it.

use serde::Serialize;
use shared::config::Config;
use utoipa::ToSchema;

use crate::server::jobs::Jobs;
use crate::server::monitor::Known;
use crate::server::monitor::services::{Instance, Service};

/// From this share of a limit on, it is near.
const NEAR: f64 = 0.8;

/// How near something is to its limit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LimitView {
    /// What is limited, by the setting's name.
    pub(crate) setting: &'static str,
    /// Of which process.
    pub(crate) of: String,
    pub(crate) used: f64,
    pub(crate) limit: f64,
    /// Whether it is all in use while there is enough to do, as it should be: nobody is told then.
    #[serde(skip)]
    fills_under_load: bool,
}

/// A limit, by the metric that says what is in use; what is allowed is said by the same with `_limit`.
struct Metric {
    setting: &'static str,
    used: &'static str,
    fills_under_load: bool,
}

const INGEST: [Metric; 4] = [
    Metric::new("ingest.max_in_flight", "webhook_requests_in_flight"),
    Metric::new("ingest.max_in_flight_bytes", "webhook_requests_in_flight_bytes"),
    Metric::new("ingest.max_connections", "webhook_connections"),
    Metric::new("spool.max_bytes", "webhook_spool_bytes"),
];

const WORKER: [Metric; 4] = [
    Metric::new("worker.prefetch", "worker_in_flight").filling_under_load(),
    Metric::new("worker.in_flight_bytes", "worker_in_flight_bytes").filling_under_load(),
    Metric::new("worker.database_connections", "worker_database_connections").filling_under_load(),
    Metric::new("dispatch.concurrency", "worker_effects_sending").filling_under_load(),
];

/// Of both: each publishes, and makes spans.
const BOTH: [Metric; 3] = [
    Metric::new("queue.publish_window", "oncehook_publish_window_messages").filling_under_load(),
    Metric::new("queue.publish_window_bytes", "oncehook_publish_window_bytes").filling_under_load(),
    Metric::new("OTEL_BSP_MAX_QUEUE_SIZE", "oncehook_spans_queued"),
];

/// All that is known, and the console's own, the nearest first.
pub(super) fn read(known: &Known, config: &Config, jobs: &Jobs) -> Vec<LimitView> {
    let mut limits = of_installation(known, config);
    let jobs = LimitView::new("CONSOLE_JOBS", "this console", jobs.running() as f64, jobs.at_once() as f64);
    limits.push(LimitView { fills_under_load: true, ..jobs });
    limits.sort_by(|one, other| other.share().total_cmp(&one.share()));
    limits
}

/// Of the services, the broker and the database.
pub(super) fn of_installation(known: &Known, config: &Config) -> Vec<LimitView> {
    let mut limits: Vec<LimitView> = known.services.iter().flat_map(of_instance).collect();
    if let Some(Ok(Some(bytes))) = known.work_bytes {
        limits.push(LimitView::new("queue.max_bytes", "RabbitMQ", bytes as f64, config.queue.max_bytes as f64));
    }
    if let Some(Ok(rows)) = &known.rows {
        let (used, granted) = (rows.connections.used as f64, rows.connections.granted as f64);
        limits.push(LimitView::new("max_connections", "Postgres", used, granted));
    }
    limits.retain(|limit| limit.limit > 0.0);
    limits
}

fn metrics_of(service: Service) -> impl Iterator<Item = &'static Metric> {
    let own = match service {
        Service::Ingest => &INGEST,
        Service::Worker => &WORKER,
    };
    own.iter().chain(&BOTH)
}

fn of_instance(instance: &Instance) -> Vec<LimitView> {
    let view = |metric: &Metric| {
        let (used, limit) = (instance.sum(metric.used)?, instance.sum(&format!("{}_limit", metric.used))?);
        let fills_under_load = metric.fills_under_load;
        Some(LimitView { fills_under_load, ..LimitView::new(metric.setting, &instance.address, used, limit) })
    };
    metrics_of(instance.service).filter_map(view).collect()
}

impl Metric {
    const fn new(setting: &'static str, used: &'static str) -> Self {
        Self { setting, used, fills_under_load: false }
    }

    const fn filling_under_load(self) -> Self {
        Self { fills_under_load: true, ..self }
    }
}

impl LimitView {
    fn new(setting: &'static str, of: &str, used: f64, limit: f64) -> Self {
        Self { setting, of: of.to_owned(), used, limit, fills_under_load: false }
    }

    /// 1 at the limit.
    pub(crate) fn share(&self) -> f64 {
        if self.limit > 0.0 { self.used / self.limit } else { 0.0 }
    }

    pub(crate) fn percent(&self) -> String {
        format!("{:.0}", self.share() * 100.0)
    }

    /// Whether somebody should know.
    pub(crate) fn is_near(&self) -> bool {
        self.share() >= NEAR && !self.fills_under_load
    }
}

#[cfg(test)]
mod tests {
    use shared::db::server::Connections;

    use std::collections::BTreeSet;

    use super::*;
    use crate::server::monitor::rows::Rows;

    const PAGE: &str = include_str!("../../../../docs/metrics.md");

    /// What is said of all metrics is held against the code by a test of its own.
    #[test]
    fn every_gauge_of_a_service_that_has_a_limit_is_in_the_list() {
        for service in [Service::Ingest, Service::Worker] {
            let section = PAGE.split("\n## ").find(|section| section.starts_with(service.as_str())).unwrap();
            let gauges: BTreeSet<&str> = section
                .lines()
                .filter_map(|line| line.strip_prefix("| `")?.split_once("` | gauge |"))
                .map(|(name, _help)| name)
                .collect();
            let limited = gauges.iter().copied().filter(|gauge| gauges.contains(format!("{gauge}_limit").as_str()));
            let listed: BTreeSet<&str> = metrics_of(service).map(|metric| metric.used).collect();
            assert_eq!(listed, limited.collect(), "{}", service.as_str());
        }
    }

    #[test]
    fn every_limit_is_told_and_what_is_meant_to_be_full_alarms_nobody() {
        let worker = "worker_in_flight 300\nworker_in_flight_limit 300\n\
                      worker_in_flight_bytes 9e6\nworker_in_flight_bytes_limit 1e7\n\
                      worker_database_connections 8\nworker_database_connections_limit 8\n\
                      worker_effects_sending 15\nworker_effects_sending_limit 16\n";
        let rows = Rows { connections: Connections { used: 90, granted: 97 }, ..Rows::default() };
        let config = Config::parse("t", "[queue]\nmax_bytes = 1048576\n").unwrap();
        let known = Known {
            services: vec![Instance::that_says(Service::Worker, "w:1", Ok(worker))],
            work_bytes: Some(Ok(Some(1_040_000))),
            rows: Some(Ok(rows)),
            ..Known::default()
        };
        let limits = read(&known, &config, &Jobs::new(4));
        let told = |near: bool| {
            let limits = limits.iter().filter(move |limit| limit.is_near() == near);
            let mut texts: Vec<_> =
                limits.map(|one| format!("{} of {}: {} %", one.setting, one.of, one.percent())).collect();
            texts.sort();
            texts
        };
        assert_eq!(told(true), ["max_connections of Postgres: 93 %", "queue.max_bytes of RabbitMQ: 99 %"]);
        assert_eq!(
            told(false),
            [
                "CONSOLE_JOBS of this console: 0 %",
                "dispatch.concurrency of w:1: 94 %",
                "worker.database_connections of w:1: 100 %",
                "worker.in_flight_bytes of w:1: 90 %",
                "worker.prefetch of w:1: 100 %"
            ]
        );
    }
}
