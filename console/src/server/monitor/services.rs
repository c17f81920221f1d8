//! The ops ports: what each ingest and each worker says of itself.
//!
//! A name that has several addresses (Compose gives each replica one) is asked for all of them, each time anew.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::counts::Counts;
use super::openmetrics::{self, Sample};
use super::ring::Tick;
use super::{INTERVAL, Monitor};

/// How long an ops port may take to answer.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// The most instances of one service that are watched.
const MAX_INSTANCES: usize = 64;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    Ingest,
    Worker,
}

/// One process, at the last look.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) service: Service,
    /// `host:port`, or the name that has no address.
    pub(crate) address: String,
    /// What it says, or why it says nothing.
    pub(crate) said: Result<Said, String>,
}

/// What an instance says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) samples: Vec<Sample>,
    /// What it misses, in its own words; empty when it is ready.
    pub(crate) misses: Vec<String>,
}

impl Instance {
    /// The sum of a metric's samples; `None` when it has none.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let samples = &self.said.as_ref().ok()?.samples;
        let mut values = samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).peekable();
        values.peek().is_some().then(|| values.sum())
    }
}

/// Looks for ever.
pub(super) async fn watch(monitor: Monitor, ingest: Option<String>, worker: Option<String>) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "cannot look at the services");
            return;
        }
    };
    let mut before: HashMap<(Service, String), Counts> = HashMap::new();
    let mut turns = tokio::time::interval(INTERVAL);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let targets = [(Service::Ingest, ingest.as_deref()), (Service::Worker, worker.as_deref())];
        let looks = join_all(targets.map(|(service, urls)| look(&client, service, urls.unwrap_or_default()))).await;
        let services: Vec<Instance> = looks.into_iter().flatten().collect();
        let counts = flow(&services, &mut before);
        let spool_files = services.iter().filter_map(|one| one.sum("webhook_spool_files")).sum::<f64>() as u64;
        let mut known = monitor.known();
        let work = known.queues.as_ref().and_then(|queues| queues.as_ref().ok()).and_then(|queues| queues.first());
        let ready = work.and_then(|queue| queue.ready);
        known.ring.push(Tick { at: OffsetDateTime::now_utc(), counts, ready, spool_files });
        known.services = services;
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(TIMEOUT).no_proxy().redirect(reqwest::redirect::Policy::none()).build()
}

/// One look at the workers, for a command.
///
/// # Errors
/// When this machine can ask nobody.
pub(crate) async fn workers(urls: &str) -> reqwest::Result<Vec<Instance>> {
    Ok(look(&client()?, Service::Worker, urls).await)
}

/// What all of them counted since the last look. One that does not answer keeps its place.
fn flow(services: &[Instance], before: &mut HashMap<(Service, String), Counts>) -> Counts {
    let mut sum = Counts::default();
    for instance in services {
        let Ok(said) = &instance.said else { continue };
        let now = Counts::of(&said.samples);
        if let Some(before) = before.insert((instance.service, instance.address.clone()), now) {
            sum = sum.plus(&now.since(&before));
        }
    }
    // Addresses come and go with replicas; what is gone for long is not worth its memory.
    if before.len() > 4 * MAX_INSTANCES {
        let is_there =
            |key: &(Service, String)| services.iter().any(|one| (one.service, &one.address) == (key.0, &key.1));
        before.retain(|key, _counts| is_there(key));
    }
    sum
}

async fn look(client: &reqwest::Client, service: Service, urls: &str) -> Vec<Instance> {
    let mut instances = Vec::new();
    for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/').to_owned();
        match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host(host.clone())).await {
            Ok(Ok(addresses)) => instances.extend(addresses.map(Ok)),
            Ok(Err(error)) => instances.push(Err((host, format!("the name has no address: {error}")))),
            Err(_elapsed) => instances.push(Err((host, "the name is not resolved in time".to_owned()))),
        }
    }
    instances.truncate(MAX_INSTANCES);
    join_all(instances.into_iter().map(|address| async move {
        match address {
            Ok(address) => {
                let said = ask(client, address).await.map_err(|error| told(&error));
                Instance { service, address: address.to_string(), said }
            }
            Err((address, error)) => Instance { service, address, said: Err(error) },
        }
    }))
    .await
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> reqwest::Result<Said> {
    #[derive(Deserialize)]
    struct Readiness {
        #[serde(default)]
        reasons: Vec<String>,
    }
    let metrics = client.get(format!("http://{address}/metrics")).send().await?.text().await?;
    let readiness = client.get(format!("http://{address}/readyz")).send().await?.json::<Readiness>().await?;
    Ok(Said { samples: openmetrics::read(&metrics), misses: readiness.reasons })
}

fn told(error: &reqwest::Error) -> String {
    match error {
        error if error.is_timeout() => "it does not answer in time".to_owned(),
        error if error.is_connect() => "it is not there".to_owned(),
        error => format!("its answer cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(address: &str, received: Option<u32>) -> Instance {
        let metrics = received.map(|received| format!("webhook_requests_total{{outcome=\"accepted\"}} {received}\n"));
        let said = metrics.map(|text| Said { samples: openmetrics::read(&text), misses: Vec::new() });
        Instance { service: Service::Ingest, address: address.to_owned(), said: said.ok_or_else(String::new) }
    }

    #[test]
    fn a_fleet_adds_up_while_instances_come_go_and_start_anew() {
        let mut before = HashMap::new();
        let mut flowed = |fleet: &[Instance]| flow(fleet, &mut before).received;
        assert_eq!(flowed(&[instance("a", Some(100)), instance("b", Some(50))]), 0.0, "what was before is no flow");
        assert_eq!(flowed(&[instance("a", Some(110)), instance("b", None)]), 10.0);
        assert_eq!(flowed(&[instance("a", Some(110)), instance("b", Some(55))]), 5.0, "it was counted meanwhile");
        assert_eq!(flowed(&[instance("a", Some(3)), instance("b", Some(55))]), 3.0, "it has started anew");
    }
}
