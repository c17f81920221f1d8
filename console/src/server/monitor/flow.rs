//! What a fleet counted between two looks: all of it together, requests by source, and batches by worker.
//!
//! Apart, because one quiet source's wrong secret is not to be seen among a busy one's webhooks, and one worker's batches
//! say nothing of another's. One that does not answer keeps its place.

use std::collections::{BTreeMap, HashMap};

use super::counts::Counts;
use super::openmetrics::Sample;
use super::services::{Instance, MAX_INSTANCES, Service};

/// Requests of one source. All that were answered, as the alert on them counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Requests {
    pub(crate) received: f64,
    /// Of these, what was not genuine.
    pub(crate) forged: f64,
}

/// Batches of one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Batches {
    /// Transactions.
    pub(crate) committed: f64,
    /// Webhooks in them.
    pub(crate) webhooks: f64,
}

/// What flowed between two looks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) counts: Counts,
    /// By source; those that nobody asked for are not there.
    pub(crate) requests: BTreeMap<String, Requests>,
    /// By the worker's address; those that committed nothing are not there.
    pub(crate) batches: BTreeMap<String, Batches>,
}

/// What one instance has counted since it started.
#[derive(Debug, Default)]
struct Counted {
    counts: Counts,
    requests: BTreeMap<String, Requests>,
    batches: Batches,
}

/// What every instance had counted at the last look.
#[derive(Debug, Default)]
pub(crate) struct Meter(HashMap<(Service, String), Counted>);

impl Meter {
    /// What all of them counted since the last look.
    pub(crate) fn flowed(&mut self, services: &[Instance]) -> Flow {
        let mut flow = Flow::default();
        for instance in services {
            let Ok(said) = &instance.said else { continue };
            let now = Counted::of(&said.samples);
            let key = (instance.service, instance.address.clone());
            if let Some(before) = self.0.get(&key) {
                flow.add(&now, before, &instance.address);
            }
            self.0.insert(key, now);
        }
        // Addresses come and go with replicas; what is gone for long is not worth its memory.
        if self.0.len() > 4 * MAX_INSTANCES {
            let is_there =
                |key: &(Service, String)| services.iter().any(|one| (one.service, &one.address) == (key.0, &key.1));
            self.0.retain(|key, _counted| is_there(key));
        }
        flow
    }
}

impl Flow {
    fn add(&mut self, now: &Counted, before: &Counted, address: &str) {
        self.counts = self.counts.plus(&now.counts.since(&before.counts));
        for (source, requests) in &now.requests {
            let since = requests.since(before.requests.get(source).copied().unwrap_or_default());
            if since.received > 0.0 {
                let sum = self.requests.entry(source.clone()).or_default();
                *sum = sum.plus(since);
            }
        }
        let batches = now.batches.since(before.batches);
        if batches.committed > 0.0 {
            self.batches.insert(address.to_owned(), batches);
        }
    }
}

impl Counted {
    fn of(samples: &[Sample]) -> Self {
        let mut counted = Self { counts: Counts::of(samples), ..Self::default() };
        for sample in samples {
            match sample.name.as_str() {
                "webhook_requests_total" => {
                    let requests = counted.requests.entry(sample.label("source").to_owned()).or_default();
                    requests.received += sample.value;
                    if sample.label("outcome") == "signature_refused" {
                        requests.forged += sample.value;
                    }
                }
                "worker_batch_size_count" => counted.batches.committed += sample.value,
                "worker_batch_size_sum" => counted.batches.webhooks += sample.value,
                _ => {}
            }
        }
        counted
    }
}

impl Requests {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { received: self.received + other.received, forged: self.forged + other.forged }
    }

    /// Counters that went back have started anew.
    fn since(self, before: Self) -> Self {
        if self.received < before.received || self.forged < before.forged {
            return self;
        }
        Self { received: self.received - before.received, forged: self.forged - before.forged }
    }
}

impl Batches {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { committed: self.committed + other.committed, webhooks: self.webhooks + other.webhooks }
    }

    /// Webhooks in a batch; `None` where there was none.
    pub(crate) fn mean(self) -> Option<f64> {
        (self.committed > 0.0).then(|| self.webhooks / self.committed)
    }

    /// Counters that went back have started anew.
    fn since(self, before: Self) -> Self {
        if self.committed < before.committed || self.webhooks < before.webhooks {
            return self;
        }
        Self { committed: self.committed - before.committed, webhooks: self.webhooks - before.webhooks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(service: Service, address: &str, metrics: Option<&str>) -> Instance {
        Instance::that_says(service, address, metrics.ok_or(""))
    }

    #[test]
    fn a_fleet_adds_up_while_instances_come_go_and_start_anew() {
        let mut meter = Meter::default();
        let ingest = |address: &str, received: Option<u32>| {
            let metrics =
                received.map(|received| format!("webhook_requests_total{{outcome=\"accepted\"}} {received}\n"));
            instance(Service::Ingest, address, metrics.as_deref())
        };
        let mut flowed = |fleet: &[Instance]| meter.flowed(fleet).counts.received;
        assert_eq!(flowed(&[ingest("a", Some(100)), ingest("b", Some(50))]), 0.0, "what was before is no flow");
        assert_eq!(flowed(&[ingest("a", Some(110)), ingest("b", None)]), 10.0);
        assert_eq!(flowed(&[ingest("a", Some(110)), ingest("b", Some(55))]), 5.0, "it was counted meanwhile");
        assert_eq!(flowed(&[ingest("a", Some(3)), ingest("b", Some(55))]), 3.0, "it has started anew");
    }

    #[test]
    fn requests_are_told_by_source_over_all_ingests() {
        let mut meter = Meter::default();
        let ingest = |address: &str, accepted: u32, forged: u32| {
            let metrics = format!(
                "webhook_requests_total{{source=\"busy\",outcome=\"accepted\"}} {accepted}\n\
                 webhook_requests_total{{source=\"quiet\",outcome=\"signature_refused\"}} {forged}\n"
            );
            instance(Service::Ingest, address, Some(&metrics))
        };
        meter.flowed(&[ingest("a", 100, 9), ingest("b", 100, 0)]);
        let flow = meter.flowed(&[ingest("a", 130, 11), ingest("b", 150, 1)]);
        assert_eq!(flow.requests["busy"], Requests { received: 80.0, forged: 0.0 });
        assert_eq!(flow.requests["quiet"], Requests { received: 3.0, forged: 3.0 });
    }

    #[test]
    fn batches_are_those_of_late_and_of_one_worker() {
        let mut meter = Meter::default();
        let worker = |address: &str, committed: u32, webhooks: u32| {
            let metrics = format!("worker_batch_size_sum {webhooks}\nworker_batch_size_count {committed}\n");
            instance(Service::Worker, address, Some(&metrics))
        };
        meter.flowed(&[worker("a", 1_000, 1_000), worker("b", 5, 5)]);
        let flow = meter.flowed(&[worker("a", 1_002, 1_200), worker("b", 5, 5)]);
        assert_eq!(flow.batches["a"].mean(), Some(100.0), "not the mean since its start");
        assert!(!flow.batches.contains_key("b"), "it committed nothing");
    }
}
