//! What is wrong, in a sentence each: on the overview, and in `status` and `top`. Pure: decided from the latest look.
//!
//! A fault is told within two looks of the moment that something shows it: a worker that has ended, a mail that could
//! not be sent, a webhook that was spooled. Where an alert says the same, it is reckoned as the alert does.

mod services;

use serde::Serialize;
use shared::amqp::Topology;
use shared::config::Config;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::limits::{self, LimitView};
use crate::output::{age, counted};
use crate::queues::Role;
use crate::server::monitor::Known;
use crate::server::monitor::ring::{Bound, HeadAge, WORK};
use crate::server::monitor::rows::Rows;

/// How long the head of the work queue may wait, in seconds.
const SLOW_HEAD_S: i64 = 60;

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

/// What is wrong with what a command has just looked at, in a sentence each, the worst first.
pub(crate) fn concerns(known: &Known, config: &Config) -> Vec<String> {
    let limits = limits::of_installation(known, config);
    judge(known, config, &limits, OffsetDateTime::now_utc()).into_iter().map(|concern| concern.what).collect()
}

/// All that is wrong, the worst first.
pub(super) fn judge(known: &Known, config: &Config, limits: &[LimitView], now: OffsetDateTime) -> Vec<Concern> {
    let mut concerns = Concerns(Vec::new());
    concerns.services(known, now);
    concerns.sources(known, now);
    concerns.queues(known, &Topology::new(&config.queue), now);
    concerns.destinations(known);
    match &known.rows {
        Some(Ok(rows)) => concerns.rows(rows, now),
        Some(Err(error)) => concerns.fault(format!("Postgres: {error} ({})", answered(known.rows_at, now)), "/"),
        None => {}
    }
    for limit in limits.iter().filter(|limit| limit.is_near()) {
        concerns.warn(format!("{} of {} is {} % used", limit.setting, limit.of, limit.percent()), "/");
    }
    if config.sources.is_empty() {
        concerns.warn("no source is configured: nobody may send webhooks".to_owned(), "/sources");
    }
    concerns.0.sort_by_key(|concern| concern.severity);
    concerns.0
}

/// When something that does not answer last did.
fn answered(at: Option<OffsetDateTime>, now: OffsetDateTime) -> String {
    match at {
        Some(at) => format!("last answer {} ago", age(now - at)),
        None => "no answer yet".to_owned(),
    }
}

struct Concerns(Vec<Concern>);

impl Concerns {
    fn fault(&mut self, what: String, page: &'static str) {
        self.0.push(Concern { severity: Severity::Fault, what, page });
    }

    fn warn(&mut self, what: String, page: &'static str) {
        self.0.push(Concern { severity: Severity::Warning, what, page });
    }

    fn queues(&mut self, known: &Known, topology: &Topology, now: OffsetDateTime) {
        if let Some(Err(error)) = &known.work_bytes {
            self.warn(format!("RabbitMQ's metrics: {error} ({})", answered(known.work_bytes_at, now)), "/");
        }
        let queues = match &known.queues {
            Some(Ok(queues)) => queues,
            Some(Err(error)) => {
                return self.fault(format!("RabbitMQ: {error} ({})", answered(known.queues_at, now)), "/");
            }
            None => return,
        };
        for queue in queues {
            let (name, role) = (&queue.queue, Role::of(&queue.queue, topology));
            match (role, queue.ready, queue.consumers) {
                (_, None, _) => {
                    self.fault(format!("the queue {name} is not there; a service declares it when it starts"), "/");
                }
                (Role::Work, _, Some(0)) => self.fault("no worker takes from the queue".to_owned(), "/"),
                (Role::Dead, Some(ready @ 1..), _) => {
                    self.warn(format!("given up by the broker, and not parked yet: {ready} in {name}"), "/");
                }
                (Role::Suspect, Some(ready @ 1..), _) => {
                    self.warn(format!("delivered too often, and to be run alone: {ready} in {name}"), "/");
                }
                _ => {}
            }
        }
        if let Some(HeadAge { seconds, bound }) = known.ring.head_age(WORK).filter(|age| age.seconds >= SLOW_HEAD_S) {
            let at_least = if bound == Bound::AtLeast { "at least " } else { "" };
            self.warn(format!("webhooks wait in the queue for {at_least}{}", age(Duration::seconds(seconds))), "/");
        }
    }

    fn rows(&mut self, rows: &Rows, now: OffsetDateTime) {
        for effect in &rows.waiting {
            let is_paused = rows.paused.iter().any(|paused| paused.effect == effect.effect);
            if let Some(error) = effect.last_error.as_ref().filter(|_| !is_paused) {
                let failing = counted(effect.failing);
                self.fault(
                    format!("{}: {failing} could not be sent and wait to be tried again: {error}", effect.effect),
                    "/outbox",
                );
            }
        }
        for paused in &rows.paused {
            let waiting = rows.waiting.iter().find(|one| one.effect == paused.effect).map_or(0, |one| one.pending);
            let text = format!("{} is paused by {}; {} wait", paused.effect, paused.paused_by, counted(waiting));
            self.warn(text, "/outbox");
        }
        for reason in &rows.parked {
            let age = age(now - reason.oldest);
            let text = format!("parked: {} ({}), the first {age} ago", reason.reason, counted(reason.rows));
            self.warn(text, "/parked");
        }
        for state in rows.outbox.iter().filter(|one| matches!(one.state.as_str(), "held" | "failed")) {
            self.warn(format!("effects {}: {} wait for a person", state.state, counted(state.rows)), "/outbox");
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::amqp::QueueDepth;

    use super::*;
    use crate::server::monitor::services::{Instance, Service};

    pub(super) fn texts(known: &Known) -> Vec<String> {
        let config =
            Config::parse("t", "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n").unwrap();
        judge(known, &config, &[], OffsetDateTime::now_utc()).into_iter().map(|concern| concern.what).collect()
    }

    fn work_queue(consumers: u32) -> Option<Result<Vec<QueueDepth>, String>> {
        Some(Ok(vec![queue("webhooks", 0, consumers)]))
    }

    fn queue(name: &str, ready: u32, consumers: u32) -> QueueDepth {
        QueueDepth { queue: name.to_owned(), ready: Some(ready), consumers: Some(consumers) }
    }

    #[test]
    fn nothing_is_wrong_where_all_answer_and_nothing_waits() {
        assert_eq!(texts(&Known { queues: work_queue(2), ..Known::default() }), Vec::<String>::new());
    }

    #[test]
    fn workers_that_have_gone_a_spool_that_fills_and_a_broker_that_is_away_are_told() {
        assert_eq!(texts(&Known { queues: work_queue(0), ..Known::default() }), ["no worker takes from the queue"]);
        let away = Known { queues: Some(Err("it is away".to_owned())), ..Known::default() };
        assert_eq!(texts(&away), ["RabbitMQ: it is away (no answer yet)"]);
        let metrics = "webhook_spool_files 2\nwebhook_spool_bytes 4000000\nwebhook_spool_oldest_age_seconds 61\n";
        let mut ingest = Instance::that_says(Service::Ingest, "a:1", Ok(metrics));
        ingest.said.as_mut().unwrap().misses.push("no connection to the broker".to_owned());
        assert_eq!(
            texts(&Known { services: vec![ingest], ..Known::default() }),
            [
                "ingest at a:1: no connection to the broker",
                "ingest at a:1 keeps webhooks in its spool: 2 files, 4.0 MB, the oldest for 61 s"
            ]
        );
    }

    #[test]
    fn what_lies_among_suspects_and_dead_letters_is_told() {
        let queues = |suspect, dead| {
            let queues = vec![
                queue("webhooks", 0, 2),
                queue("webhooks.suspect", suspect, 2),
                queue("webhooks.dead", dead, 2),
                queue("webhooks.retry.5s", 3, 0),
            ];
            texts(&Known { queues: Some(Ok(queues)), ..Known::default() })
        };
        assert_eq!(queues(0, 0), Vec::<String>::new());
        assert_eq!(
            queues(2, 1),
            [
                "delivered too often, and to be run alone: 2 in webhooks.suspect",
                "given up by the broker, and not parked yet: 1 in webhooks.dead"
            ]
        );
    }

    #[test]
    fn what_does_not_answer_is_told_with_the_time_of_its_last_answer() {
        let ago = |seconds: i64| Some(OffsetDateTime::now_utc() - time::Duration::seconds(seconds));
        let mut worker = Instance::that_says(Service::Worker, "w:1", Err("it is not there"));
        worker.answered_at = ago(500);
        let away = Known {
            services: vec![worker],
            queues: Some(Err("it is away".to_owned())),
            queues_at: ago(30),
            rows: Some(Err("it is slow".to_owned())),
            rows_at: ago(7_300),
            work_bytes: Some(Err("it is not there".to_owned())),
            ..Known::default()
        };
        assert_eq!(
            texts(&away),
            [
                "worker at w:1: it is not there (last answer 8 min ago)",
                "RabbitMQ: it is away (last answer 30 s ago)",
                "Postgres: it is slow (last answer 2 h ago)",
                "RabbitMQ's metrics: it is not there (no answer yet)"
            ]
        );
    }
}
