//! What is wrong, in a sentence each. Pure: decided from the monitor's latest look.
//!
//! A fault is told within two looks of the moment that something shows it: a worker that has ended, a mail that could
//! not be sent, a webhook that was spooled. Where an alert says the same, it is reckoned as the alert does.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::amqp::Topology;
use shared::config::Config;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::limits::LimitView;
use crate::queues::Role;
use crate::server::monitor::destinations::{self, Reach};
use crate::server::monitor::flow::Requests;
use crate::server::monitor::ring::{Bound, HeadAge, WORK};
use crate::server::monitor::rows::{BOUND, Rows};
use crate::server::monitor::services::Instance;
use crate::server::monitor::standing::{self, Standing};
use crate::server::monitor::{INTERVAL, Known};
use crate::server::page::span;

/// How long the head of the work queue may wait, in seconds.
const SLOW_HEAD_S: i64 = 60;
/// How far back requests of a source that were not genuine are counted, in seconds, from how many on they are told, and from
/// which share of the source's requests on: strangers' requests fail as they should. As `OncehookVerificationFails` has it.
const FORGED_WINDOW_S: i64 = 900;
const FORGED: f64 = 3.0;
const FORGED_SHARE: f64 = 0.1;
/// From this often the space that is left free on the spool's disk on, it is low.
const DISK_LOW: f64 = 2.0;
/// How long before its end a certificate is told, in days.
const CERTIFICATE_DAYS: i64 = 14;
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
        Some(at) => format!("last answer {} ago", span((now - at).whole_seconds())),
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

    fn services(&mut self, known: &Known, now: OffsetDateTime) {
        if let Some(last) = known.ring.ticks().next_back()
            && now - last.at > INTERVAL * STALE_LOOKS
        {
            self.fault("the console itself does not get to look at the services".to_owned(), "/");
        }
        for instance in &known.services {
            let name = instance.service.as_str();
            match &instance.said {
                Err(error) => {
                    let answered = answered(instance.answered_at, now);
                    self.fault(format!("{name} at {}: {error} ({answered})", instance.address), "/");
                }
                Ok(said) => {
                    for miss in &said.misses {
                        self.fault(format!("{name} at {}: {miss}", instance.address), "/");
                    }
                }
            }
            self.spool(instance);
            self.certificates(instance, now);
        }
    }

    /// Each by itself: what is a fair part of a quiet source's requests is lost among a busy one's.
    fn sources(&mut self, known: &Known, now: OffsetDateTime) {
        for source in standing::sources(&known.services) {
            if let Some(risk) = Standing::of(&known.services, source).risk(now) {
                self.fault(risk.told(source), "/sources");
            }
        }
        for (source, requests) in known.ring.requests(FORGED_WINDOW_S) {
            let Requests { received, forged } = requests;
            if forged >= FORGED && forged > FORGED_SHARE * received {
                let window = span(FORGED_WINDOW_S);
                let text = format!(
                    "{forged:.0} of {received:.0} requests of {source} within {window} were not genuine: a secret may be wrong"
                );
                self.warn(text, "/sources");
            }
        }
    }

    /// Certificates that a worker was shown, by a mail server or a service that is called.
    fn certificates(&mut self, instance: &Instance, now: OffsetDateTime) {
        let Ok(said) = &instance.said else { return };
        for sample in &said.samples {
            if sample.name != "webhook_peer_certificate_expiry_timestamp_seconds" || sample.value <= 0.0 {
                continue;
            }
            let (peer, left) = (sample.label("peer"), sample.value as i64 - now.unix_timestamp());
            if left <= 0 {
                self.fault(format!("the certificate of {peer} has ended"), "/outbox");
            } else if left < CERTIFICATE_DAYS * 86_400 {
                self.warn(format!("the certificate of {peer} ends in {}", span(left)), "/outbox");
            }
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
        let free = instance.sum("webhook_spool_free_bytes").zip(instance.sum("webhook_spool_min_free_bytes"));
        if let Some((free, kept)) = free.filter(|(free, kept)| *free < DISK_LOW * kept) {
            let text = format!(
                "the disk of the spool of ingest at {} is low: {:.0} MB are free, and below {:.0} MB webhooks are refused while the broker is away",
                instance.address,
                free / 1e6,
                kept / 1e6
            );
            self.fault(text, "/");
        }
        let deferred = number("webhook_spool_deferred_files") + number("webhook_spool_adopted_deferred_files");
        if deferred > 0.0 {
            let text = format!(
                "ingest at {} cannot read, publish or remove {deferred} files of its spool, and tries again",
                instance.address
            );
            self.fault(text, "/");
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
            self.warn(format!("webhooks wait in the queue for {at_least}{}", span(seconds)), "/");
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
    use crate::server::monitor::flow::Flow;
    use crate::server::monitor::ring::Tick;
    use crate::server::monitor::services::Service;

    fn texts(known: &Known) -> Vec<String> {
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

    fn worker(metrics: &str) -> Instance {
        Instance::that_says(Service::Worker, "w:1", Ok(metrics))
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
        let rows = Rows { paused: vec![paused], ..Rows::default() };
        assert_eq!(
            told(vec![worker(&down)], Some(Ok(rows))),
            ["alert: no worker reaches where it goes", "mail is paused by ada; 0 wait"]
        );
    }

    #[test]
    fn workers_that_have_gone_a_spool_that_fills_and_a_broker_that_is_away_are_told() {
        assert_eq!(texts(&Known { queues: work_queue(0), ..Known::default() }), ["no worker takes from the queue"]);
        let away = Known { queues: Some(Err("it is away".to_owned())), ..Known::default() };
        assert_eq!(texts(&away), ["RabbitMQ: it is away (no answer yet)"]);
        let metrics = "webhook_spool_files 2\nwebhook_spool_bytes 4000000\nwebhook_spool_oldest_age_seconds 61\n";
        let mut ingest = instance(Service::Ingest, metrics);
        ingest.said.as_mut().unwrap().misses.push("no connection to the broker".to_owned());
        assert_eq!(
            texts(&Known { services: vec![ingest], ..Known::default() }),
            [
                "ingest at a:1: no connection to the broker",
                "ingest at a:1 keeps webhooks in its spool: 2 files, 4.0 MB, the oldest for 61 s"
            ]
        );
    }

    fn instance(service: Service, metrics: &str) -> Instance {
        Instance::that_says(service, "a:1", Ok(metrics))
    }

    #[test]
    fn a_subscription_at_risk_and_a_disk_that_is_low_are_told() {
        let failed = |failed: u32| {
            format!(
                "webhook_failed_answers_in_a_row{{source=\"shop\"}} {failed}\n\
                 webhook_failed_answers_tolerated{{source=\"shop\"}} 8\n"
            )
        };
        let told = |metrics: &[&str]| {
            let services = metrics.iter().map(|metrics| instance(Service::Ingest, metrics)).collect();
            texts(&Known { services, ..Known::default() })
        };
        assert_eq!(told(&[&failed(2)]), Vec::<String>::new());
        assert_eq!(
            told(&[&failed(1), &failed(5)]),
            ["the last 5 webhooks of shop at one ingest were not answered 2xx"]
        );
        let at_risk = told(&[&failed(3), &failed(5)]);
        assert!(
            at_risk.len() == 1 && at_risk[0].starts_with("the subscription of shop is at risk: 8 webhooks"),
            "{at_risk:?}"
        );
        let disk =
            |free: u32| told(&[&format!("webhook_spool_free_bytes {free}e6\nwebhook_spool_min_free_bytes 100e6\n")]);
        assert_eq!(disk(201), Vec::<String>::new());
        assert!(disk(199)[0].contains("199 MB are free, and below 100 MB"), "{:?}", disk(199));
    }

    #[test]
    fn certificates_are_told_two_weeks_before_their_end() {
        let told = |seconds: i64| {
            let end = OffsetDateTime::now_utc().unix_timestamp() + seconds;
            let metrics = format!("webhook_peer_certificate_expiry_timestamp_seconds{{peer=\"smtp\"}} {end}\n");
            texts(&Known { services: vec![instance(Service::Worker, &metrics)], ..Known::default() })
        };
        assert_eq!(told(15 * 86_400), Vec::<String>::new());
        assert_eq!(told(3 * 86_400 + 60), ["the certificate of smtp ends in 3 d"]);
        assert_eq!(told(-1), ["the certificate of smtp has ended"]);
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
    fn files_of_the_spool_that_cannot_be_published_are_told() {
        let told = |own: u32, adopted: u32| {
            let metrics =
                format!("webhook_spool_deferred_files {own}\nwebhook_spool_adopted_deferred_files {adopted}\n");
            texts(&Known { services: vec![instance(Service::Ingest, &metrics)], ..Known::default() })
        };
        assert_eq!(told(0, 0), Vec::<String>::new());
        let text = "ingest at a:1 cannot read, publish or remove 3 files of its spool, and tries again";
        assert_eq!(told(1, 2), [text]);
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

    #[test]
    fn requests_that_are_not_genuine_are_told_where_they_are_a_fair_part_of_a_sources_own() {
        let told = |requests: &[(&str, f64, f64)]| {
            let mut known = Known::default();
            let requests = requests.iter().map(|(source, received, forged)| {
                ((*source).to_owned(), Requests { received: *received, forged: *forged })
            });
            let flow = Flow { requests: requests.collect(), ..Flow::default() };
            known.ring.push(Tick { at: OffsetDateTime::now_utc(), flow, ready: Vec::new(), spool_files: 0 });
            texts(&known)
        };
        assert_eq!(told(&[("shop", 100.0, 5.0)]), Vec::<String>::new());
        assert_eq!(told(&[("shop", 2.0, 2.0)]), Vec::<String>::new());
        // A busy source hides no quiet one.
        assert_eq!(
            told(&[("busy", 100_000.0, 50.0), ("quiet", 20.0, 5.0)]),
            ["5 of 20 requests of quiet within 15 min were not genuine: a secret may be wrong"]
        );
    }
}
