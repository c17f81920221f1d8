//! What the services say of themselves, and what their silence says.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::{Concerns, answered};
use crate::output::age;
use crate::server::monitor::destinations::{self, Reach};
use crate::server::monitor::flow::Requests;
use crate::server::monitor::services::Instance;
use crate::server::monitor::standing::{self, Standing};
use crate::server::monitor::{INTERVAL, Known};

/// How far back requests of a source that were not genuine are counted, in seconds, from how many on they are told, and from
/// which share of the source's requests on: strangers' requests fail as they should. As `OncehookVerificationFails` has it.
const FORGED_WINDOW_S: i64 = 900;
const FORGED: f64 = 3.0;
const FORGED_SHARE: f64 = 0.1;
/// From this share of its limit on, a spool is nearly full. As `OncehookSpoolFull` has it.
const SPOOL_FULL: f64 = 0.7;
/// From this often the space that is left free on the spool's disk on, it is low.
const DISK_LOW: f64 = 2.0;
/// How long before its end a certificate is told, in days.
const CERTIFICATE_DAYS: i64 = 14;
/// How old the last look may be.
const STALE_LOOKS: u32 = 5;

impl Concerns {
    pub(super) fn services(&mut self, known: &Known, now: OffsetDateTime) {
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
    pub(super) fn sources(&mut self, known: &Known, now: OffsetDateTime) {
        for source in standing::sources(&known.services) {
            if let Some(risk) = Standing::of(&known.services, source).risk(now) {
                self.fault(risk.told(source), "/sources");
            }
        }
        for (source, requests) in known.ring.requests(FORGED_WINDOW_S) {
            let Requests { received, forged } = requests;
            if forged >= FORGED && forged > FORGED_SHARE * received {
                let window = age(Duration::seconds(FORGED_WINDOW_S));
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
                self.warn(format!("the certificate of {peer} ends in {}", age(Duration::seconds(left))), "/outbox");
            }
        }
    }

    fn spool(&mut self, instance: &Instance) {
        let number = |name: &str| instance.sum(name).unwrap_or(0.0);
        let files = number("webhook_spool_files");
        if files > 0.0 {
            let age = age(Duration::seconds(number("webhook_spool_oldest_age_seconds") as i64));
            let text = format!(
                "ingest at {} keeps webhooks in its spool: {files} files, {:.1} MB, the oldest for {age}",
                instance.address,
                number("webhook_spool_bytes") / 1e6
            );
            self.warn(text, "/");
        }
        let used = number("webhook_spool_bytes") / instance.sum("webhook_spool_bytes_limit").unwrap_or(f64::INFINITY);
        if used > SPOOL_FULL {
            let text = format!(
                "the spool of ingest at {} is {:.0} % full; when it is full, webhooks are refused",
                instance.address,
                used * 100.0
            );
            self.fault(text, "/");
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
    pub(super) fn destinations(&mut self, known: &Known) {
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
}

#[cfg(test)]
mod tests {
    use shared::db::paused_effects::PausedEffect;

    use super::super::tests::texts;
    use super::*;
    use crate::server::monitor::flow::Flow;
    use crate::server::monitor::ring::Tick;
    use crate::server::monitor::rows::Rows;
    use crate::server::monitor::services::Service;

    fn worker(metrics: &str) -> Instance {
        instance(Service::Worker, metrics)
    }

    fn instance(service: Service, metrics: &str) -> Instance {
        Instance::that_says(service, "a:1", Ok(metrics))
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
    fn a_subscription_at_risk_a_disk_that_is_low_and_a_spool_that_is_nearly_full_are_told() {
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
        let spool = |used: u32| told(&[&format!("webhook_spool_bytes {used}\nwebhook_spool_bytes_limit 100\n")]);
        assert_eq!(spool(70), Vec::<String>::new());
        assert_eq!(spool(71), ["the spool of ingest at a:1 is 71 % full; when it is full, webhooks are refused"]);
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
