//! What flows, by what ingest and the workers count on their ops ports; known where these are named.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::output::table;
use crate::server::monitor::flow::{Batches, Flow, Meter};
use crate::server::monitor::services::{Asker, Instance, Service};
use crate::server::overview::view::{Latency, Rates, WorkerView};
use crate::settings::Settings;

/// How far back flows are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// What flowed within the last minute, or since `top` began to look.
#[derive(Debug, Serialize)]
pub(super) struct Traffic {
    /// Events a minute.
    per_minute: Rates,
    /// From receipt to commit.
    latency: Latency,
    /// The workers that are named; empty where none is.
    workers: Vec<WorkerView>,
}

/// Looks again and again.
#[derive(Debug)]
pub(super) struct Looks {
    asker: Asker,
    seen: Seen,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    meter: Meter,
    /// When each look was, and what flowed since the one before.
    flows: VecDeque<(Instant, Flow)>,
}

impl Looks {
    /// `None` where nobody is named.
    ///
    /// # Errors
    /// When this machine can ask nobody.
    pub(super) fn at(settings: &Settings) -> reqwest::Result<Option<Self>> {
        if settings.ingest_ops_url.is_none() && settings.worker_ops_url.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { asker: Asker::new()?, seen: Seen::default() }))
    }

    /// Looks once more; what flowed, and what each of them says.
    pub(super) async fn look(&mut self, settings: &Settings) -> (Traffic, Vec<Instance>) {
        let services = self.asker.ask_all(settings).await;
        (self.seen.look(&services, Instant::now()), services)
    }
}

impl Seen {
    fn look(&mut self, services: &[Instance], now: Instant) -> Traffic {
        let flow = self.meter.flowed(services);
        self.flows.push_back((now, flow));
        while self.flows.front().is_some_and(|(at, _flow)| now.duration_since(*at) > WINDOW) {
            self.flows.pop_front();
        }
        // What flowed until the first look is not of this time.
        let seconds = self.flows.front().map_or(0.0, |(first, _flow)| now.duration_since(*first).as_secs_f64());
        let flows = self.flows.iter().skip(1).map(|(_at, flow)| flow);
        let counts = flows.clone().fold(Flow::default().counts, |sum, flow| sum.plus(&flow.counts));
        let worker = |instance: &Instance| {
            let batches = flows.clone().filter_map(|flow| flow.batches.get(&instance.address));
            WorkerView::of(instance, batches.fold(Batches::default(), |sum, batches| sum.plus(*batches)))
        };
        Traffic {
            per_minute: Rates::of(&counts, seconds),
            latency: Latency::of(&counts),
            workers: services.iter().filter(|one| one.service == Service::Worker).map(worker).collect(),
        }
    }
}

impl Traffic {
    pub(super) fn text(&self) -> String {
        let Rates { received, processed, duplicates, refused, retried, parked, .. } = self.per_minute;
        let rates = [received, refused, processed, duplicates, retried, parked].map(|rate| format!("{rate:.0}"));
        let head = ["A MINUTE: RECEIVED", "REFUSED", "PROCESSED", "DUPLICATES", "RETRIED", "PARKED"];
        let mut text = table(head, [rates]);
        let Latency { p50_s, p95_s, p99_s } = self.latency;
        if let (Some(p50), Some(p95), Some(p99)) = (p50_s, p95_s, p99_s) {
            let ms = |seconds: f64| format!("{:.0} ms", seconds * 1_000.0);
            text += &format!("end to end: half within {}, 95 % within {}, 99 % within {}\n", ms(p50), ms(p95), ms(p99));
        }
        if !self.workers.is_empty() {
            let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"));
            let batch = |size: Option<f64>| size.map_or_else(|| "-".to_owned(), |size| format!("{size:.1}"));
            let row = |worker: &WorkerView| {
                let state = if worker.misses.is_empty() { "ready".to_owned() } else { worker.misses.join(", ") };
                let address = worker.address.clone();
                [address, batch(worker.batch_size), number(worker.in_flight), number(worker.sending), state]
            };
            text +=
                &format!("\n{}", table(["WORKER", "A BATCH", "HOLDS", "SENDS", "STATE"], self.workers.iter().map(row)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(received: u32, processed: u32) -> [Instance; 2] {
        let ingest = format!(
            "webhook_requests_total{{source=\"shop\",outcome=\"accepted\"}} {received}\n\
             webhook_requests_total{{source=\"shop\",outcome=\"signature_refused\"}} 3\n"
        );
        let worker = format!(
            "webhook_processed_total{{source=\"shop\",outcome=\"completed\"}} {processed}\n\
             webhook_processed_total{{source=\"shop\",outcome=\"retried\"}} {received}\n\
             worker_batch_size_sum {processed}\nworker_batch_size_count 5\nworker_in_flight 7\n"
        );
        [
            Instance::that_says(Service::Ingest, "i:1", Ok(&ingest)),
            Instance::that_says(Service::Worker, "w:1", Ok(&worker)),
        ]
    }

    #[test]
    fn what_flowed_within_the_last_minute_is_told() {
        let (mut looks, began) = (Seen::default(), Instant::now());
        let nothing = looks.look(&fleet(1_000, 1_000), began);
        assert_eq!((nothing.per_minute.received, nothing.workers[0].batch_size), (0.0, None));
        looks.look(&fleet(1_010, 1_004), began + Duration::from_secs(10));
        let traffic = looks.look(&fleet(1_030, 1_020), began + Duration::from_secs(30));
        insta::assert_snapshot!(traffic.text(), @r"
         A MINUTE: RECEIVED  REFUSED  PROCESSED  DUPLICATES  RETRIED  PARKED
         60                  0        40         0           60       0

         WORKER  A BATCH  HOLDS  SENDS  STATE
         w:1     -        7      -      ready
        ");
        // What is older than a minute counts no more.
        let quiet = looks.look(&fleet(1_030, 1_020), began + Duration::from_secs(95));
        assert_eq!(quiet.per_minute.received, 0.0);
    }

    #[test]
    fn a_worker_that_does_not_answer_is_in_the_table() {
        let gone = Instance::that_says(Service::Worker, "w:1", Err("it is not there"));
        let traffic = Seen::default().look(&[gone], Instant::now());
        assert!(traffic.text().contains("it is not there"));
    }
}
