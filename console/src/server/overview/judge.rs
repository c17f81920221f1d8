//! What is wrong, in a sentence each. Pure: decided from the monitor's latest look.
//!
//! A fault is told within two looks of the moment that something shows it: a worker that has ended, a mail that could
//! not be sent, a webhook that was spooled.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::config::Config;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::view::LimitView;
use crate::server::monitor::destinations::{self, Reach};
use crate::server::monitor::rows::{BOUND, Rows};
use crate::server::monitor::services::{Instance, Service};
use crate::server::monitor::{INTERVAL, Known};
use crate::server::page::span;

/// From this share of a limit on, it is near.
const NEAR: f64 = 0.8;
/// How long the head of the work queue may wait, in seconds.
const SLOW_HEAD_S: i64 = 60;
/// How old the last look may be.
const STALE_LOOKS: u32 = 5;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Webhooks are refused, stand still, or may be lost to sight.
    Fault,
    /// Somebody should look.
    Warning,
}

/// Something that needs somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Concern {
    pub(crate) severity: Severity,
    /// In a sentence.
    pub(crate) what: String,
    /// The page that tells more.
    pub(crate) page: &'static str,
}

/// All that is wrong, the worst first.
pub(super) fn judge(known: &Known, config: &Config, limits: &[LimitView], now: OffsetDateTime) -> Vec<Concern> {
    let mut concerns = Concerns(Vec::new());
    concerns.services(known, now);
    concerns.queues(known);
    concerns.destinations(known);
    match &known.rows {
        Some(Ok(rows)) => concerns.rows(rows, now),
        Some(Err(error)) => concerns.fault(format!("Postgres: {error}"), "/"),
        None => {}
    }
    for limit in limits.iter().filter(|limit| limit.share() >= NEAR && limit.setting != "worker.prefetch") {
        concerns.warn(format!("{} of {} is {} % used", limit.setting, limit.of, limit.percent()), "/");
    }
    if config.sources.is_empty() {
        concerns.warn("no source is configured: nobody may send webhooks".to_owned(), "/sources");
    }
    concerns.0.sort_by_key(|concern| concern.severity);
    concerns.0
}

struct Concerns(Vec<Concern>);

impl Concerns {
    fn fault(&mut self, what: String, page: &'static str) {
        self.0.push(Concern { severity: Severity::Fault, what, page });
    }

    fn warn(&mut self, what: String, page: &'static str) {
        self.0.push(Concern { severity: Severity::Warning, what, page });
    }

    fn services(&mut self, known: &Known, now: OffsetDateTime) {
        if let Some(last) = known.ring.ticks().next_back()
            && now - last.at > INTERVAL * STALE_LOOKS
        {
            self.fault("the console itself does not get to look at the services".to_owned(), "/");
        }
        for instance in &known.services {
            let name = match instance.service {
                Service::Ingest => "ingest",
                Service::Worker => "worker",
            };
            match &instance.said {
                Err(error) => self.fault(format!("{name} at {}: {error}", instance.address), "/"),
                Ok(said) => {
                    for miss in &said.misses {
                        self.fault(format!("{name} at {}: {miss}", instance.address), "/");
                    }
                }
            }
            self.spool(instance);
        }
    }

    fn spool(&mut self, instance: &Instance) {
        let number = |name: &str| instance.sum(name).unwrap_or(0.0);
        let files = number("webhook_spool_files");
        if files > 0.0 {
            let age = span(number("webhook_spool_oldest_age_seconds") as i64);
            let text = format!(
                "ingest at {} keeps webhooks in its spool: {files} files, {:.1} MB, the oldest for {age}",
                instance.address,
                number("webhook_spool_bytes") / 1e6
            );
            self.warn(text, "/");
        }
        if number("webhook_spool_corrupt_files") > 0.0 {
            self.fault(format!("ingest at {} has damaged files in its spool", instance.address), "/");
        }
    }

    /// Effects that share a mail server fare alike, and are told together.
    fn destinations(&mut self, known: &Known) {
        let paused = known.rows.as_ref().and_then(|rows| rows.as_ref().ok()).map(|rows| rows.paused.as_slice());
        let paused = paused.unwrap_or_default();
        let mut away: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
        for effect in destinations::effects(&known.services) {
            let is_paused = paused.iter().any(|paused| paused.effect == effect);
            if let Some(reach) = Reach::of(&known.services, effect).filter(|reach| reach.without > 0 && !is_paused) {
                away.entry((reach.without, reach.workers)).or_default().push(effect);
            }
        }
        for ((without, workers), effects) in away {
            let effects = effects.join(", ");
            if without == workers {
                self.fault(format!("{effects}: no worker reaches where it goes"), "/outbox");
            } else {
                let text = format!("{effects}: {without} of {workers} workers do not reach where it goes");
                self.warn(text, "/outbox");
            }
        }
    }

    fn queues(&mut self, known: &Known) {
        let queues = match &known.queues {
            Some(Ok(queues)) => queues,
            Some(Err(error)) => return self.fault(format!("RabbitMQ: {error}"), "/"),
            None => return,
        };
        for queue in queues.iter().filter(|queue| queue.ready.is_none()) {
            self.fault(format!("the queue {} is not there; a service declares it when it starts", queue.queue), "/");
        }
        if queues.first().is_some_and(|work| work.consumers == Some(0)) {
            self.fault("no worker takes from the queue".to_owned(), "/");
        }
        if let Some(age) = known.ring.head_age_s().filter(|age| *age >= SLOW_HEAD_S) {
            self.warn(format!("webhooks wait in the queue for {}", span(age)), "/");
        }
    }

    fn rows(&mut self, rows: &Rows, now: OffsetDateTime) {
        let many = |rows: i64| if rows >= BOUND { format!("{BOUND} or more") } else { rows.to_string() };
        for effect in &rows.waiting {
            let is_paused = rows.paused.iter().any(|paused| paused.effect == effect.effect);
            if let Some(error) = effect.last_error.as_ref().filter(|_| !is_paused) {
                let failing = many(effect.failing);
                self.fault(
                    format!("{}: {failing} could not be sent and wait to be tried again: {error}", effect.effect),
                    "/outbox",
                );
            }
        }
        for paused in &rows.paused {
            let waiting = rows.waiting.iter().find(|one| one.effect == paused.effect).map_or(0, |one| one.pending);
            let text = format!("{} is paused by {}; {} wait", paused.effect, paused.paused_by, many(waiting));
            self.warn(text, "/outbox");
        }
        for reason in &rows.parked {
            let age = span((now - reason.oldest).whole_seconds());
            let text = format!("parked: {} ({}), the first {age} ago", reason.reason, many(reason.rows));
            self.warn(text, "/parked");
        }
        for state in rows.outbox.iter().filter(|one| matches!(one.state.as_str(), "held" | "failed")) {
            self.warn(format!("effects {}: {} wait for a person", state.state, many(state.rows)), "/outbox");
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::amqp::QueueDepth;
    use shared::db::paused_effects::PausedEffect;

    use super::*;
    use crate::server::monitor::openmetrics::read;
    use crate::server::monitor::services::Said;

    fn texts(known: &Known) -> Vec<String> {
        let config =
            Config::parse("t", "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n").unwrap();
        judge(known, &config, &[], OffsetDateTime::now_utc()).into_iter().map(|concern| concern.what).collect()
    }

    fn work_queue(consumers: u32) -> Option<Result<Vec<QueueDepth>, String>> {
        Some(Ok(vec![QueueDepth { queue: "webhooks".to_owned(), ready: Some(0), consumers: Some(consumers) }]))
    }

    #[test]
    fn nothing_is_wrong_where_all_answer_and_nothing_waits() {
        assert_eq!(texts(&Known { queues: work_queue(2), ..Known::default() }), Vec::<String>::new());
    }

    fn worker(metrics: &str) -> Instance {
        let said = Said { samples: read(metrics), misses: Vec::new() };
        Instance { service: Service::Worker, address: "w:1".to_owned(), said: Ok(said) }
    }

    #[test]
    fn a_destination_that_no_worker_reaches_or_not_every_one_is_told_unless_it_is_paused() {
        let up = "webhook_destination_up{effect=\"mail\"} 1\nwebhook_destination_up{effect=\"alert\"} 1\n";
        let down = up.replace("} 1", "} 0");
        let told = |services: Vec<Instance>, rows| texts(&Known { services, rows, ..Known::default() });
        assert_eq!(told(vec![worker(up), worker(up)], None), Vec::<String>::new());
        assert_eq!(
            told(vec![worker(up), worker(&down)], None),
            ["alert, mail: 1 of 2 workers do not reach where it goes"]
        );
        assert_eq!(told(vec![worker(&down)], None), ["alert, mail: no worker reaches where it goes"]);
        let paused = PausedEffect {
            effect: "mail".to_owned(),
            paused_by: "ada".to_owned(),
            because: "it moves".to_owned(),
            paused_at: OffsetDateTime::now_utc(),
        };
        let (outbox, waiting, parked, latest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let rows = Rows { outbox, waiting, paused: vec![paused], parked, latest };
        assert_eq!(
            told(vec![worker(&down)], Some(Ok(rows))),
            ["alert: no worker reaches where it goes", "mail is paused by ada; 0 wait"]
        );
    }

    #[test]
    fn workers_that_have_gone_a_spool_that_fills_and_a_broker_that_is_away_are_told() {
        assert_eq!(texts(&Known { queues: work_queue(0), ..Known::default() }), ["no worker takes from the queue"]);
        let away = Known { queues: Some(Err("it is away".to_owned())), ..Known::default() };
        assert_eq!(texts(&away), ["RabbitMQ: it is away"]);
        let metrics = "webhook_spool_files 2\nwebhook_spool_bytes 4000000\nwebhook_spool_oldest_age_seconds 61\n";
        let said = Said { samples: read(metrics), misses: vec!["no connection to the broker".to_owned()] };
        let ingest = Instance { service: Service::Ingest, address: "a:1".to_owned(), said: Ok(said) };
        assert_eq!(
            texts(&Known { services: vec![ingest], ..Known::default() }),
            [
                "ingest at a:1: no connection to the broker",
                "ingest at a:1 keeps webhooks in its spool: 2 files, 4.0 MB, the oldest for 61 s"
            ]
        );
    }
}
