//! The ops ports: what each ingest and each worker says of itself.
//!
//! A name that has several addresses (Compose gives each replica one) is asked for all of them, each time anew.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use utoipa::ToSchema;

use super::flow::Meter;
use super::openmetrics::{self, Sample};
use super::ring::Tick;
use super::{INTERVAL, Monitor};
use crate::settings::Settings;

/// How long an ops port may take to answer.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// The most instances of one service that are watched.
pub(super) const MAX_INSTANCES: usize = 64;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    Ingest,
    Worker,
}

impl Service {
    /// By its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Worker => "worker",
        }
    }
}

/// One process, at the last look.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) service: Service,
    /// `host:port`, or the name that has no address.
    pub(crate) address: String,
    /// What it says, or why it says nothing.
    pub(crate) said: Result<Said, String>,
    /// When it last answered; `None` when it never did since this console looks at it.
    pub(crate) answered_at: Option<OffsetDateTime>,
}

/// What an instance says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) samples: Vec<Sample>,
    /// What it misses, in its own words; empty when it is ready.
    pub(crate) misses: Vec<String>,
    /// How far its clock and this machine's are apart, by the `Date` of its answer; `None` when it gives none.
    pub(crate) clocks_apart: Option<time::Duration>,
}

impl Instance {
    fn new(service: Service, address: String, said: Result<Said, String>) -> Self {
        let answered_at = said.is_ok().then(OffsetDateTime::now_utc);
        Self { service, address, said, answered_at }
    }

    /// One that says this, or does not answer since.
    #[cfg(test)]
    pub(crate) fn that_says(service: Service, address: &str, metrics: Result<&str, &str>) -> Self {
        let said = metrics.map(|text| Said { samples: openmetrics::read(text), ..Said::default() });
        Self::new(service, address.to_owned(), said.map_err(str::to_owned))
    }

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
    let mut meter = Meter::default();
    let mut turns = tokio::time::interval(INTERVAL);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let targets = [(Service::Ingest, ingest.as_deref()), (Service::Worker, worker.as_deref())];
        let looks = join_all(targets.map(|(service, urls)| look(&client, service, urls.unwrap_or_default()))).await;
        let services: Vec<Instance> = looks.into_iter().flatten().collect();
        let flow = meter.flowed(&services);
        let spool_files = services.iter().filter_map(|one| one.sum("webhook_spool_files")).sum::<f64>() as u64;
        let mut known = monitor.known();
        let queues = known.queues.as_ref().and_then(|queues| queues.as_ref().ok());
        let ready = queues.map(|queues| queues.iter().map(|queue| queue.ready).collect()).unwrap_or_default();
        known.ring.push(Tick { at: OffsetDateTime::now_utc(), flow, ready, spool_files });
        known.set_services(services);
    }
}

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(TIMEOUT).no_proxy().redirect(reqwest::redirect::Policy::none()).build()
}

/// Who does not answer keeps the time of the last answer.
pub(super) fn remember_answers(services: &mut [Instance], before: &[Instance]) {
    for instance in services.iter_mut().filter(|one| one.said.is_err()) {
        let it = before.iter().find(|one| (one.service, &one.address) == (instance.service, &instance.address));
        instance.answered_at = it.and_then(|one| one.answered_at);
    }
}

/// Looks for a command.
#[derive(Debug)]
pub(crate) struct Asker(reqwest::Client);

impl Asker {
    /// # Errors
    /// When this machine can ask nobody.
    pub(crate) fn new() -> reqwest::Result<Self> {
        client().map(Self)
    }

    /// One look at every ingest and every worker that is named.
    pub(crate) async fn ask_all(&self, settings: &Settings) -> Vec<Instance> {
        let (ingests, workers) = tokio::join!(
            self.ask(Service::Ingest, settings.ingest_ops_url.as_deref()),
            self.ask(Service::Worker, settings.worker_ops_url.as_deref()),
        );
        ingests.into_iter().chain(workers).collect()
    }

    /// One look; empty where nobody is named.
    pub(crate) async fn ask(&self, service: Service, urls: Option<&str>) -> Vec<Instance> {
        look(&self.0, service, urls.unwrap_or_default()).await
    }
}

async fn look(client: &reqwest::Client, service: Service, urls: &str) -> Vec<Instance> {
    let mut instances = Vec::new();
    for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let host = place(url).to_owned();
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
                Instance::new(service, address.to_string(), said)
            }
            Err((address, error)) => Instance::new(service, address, Err(error)),
        }
    }))
    .await
}

/// `host:port` of a URL: an ops port asks for no password, and one that is there all the same is shown to nobody.
fn place(url: &str) -> &str {
    let url = url.strip_prefix("http://").unwrap_or(url);
    let authority = url.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> reqwest::Result<Said> {
    #[derive(Deserialize)]
    struct Readiness {
        #[serde(default)]
        reasons: Vec<String>,
    }
    let metrics = client.get(format!("http://{address}/metrics")).send().await?.text().await?;
    let before = OffsetDateTime::now_utc();
    let answer = client.get(format!("http://{address}/readyz")).send().await?;
    let clocks_apart = date(&answer).map(|theirs| apart(theirs, before, OffsetDateTime::now_utc()));
    let readiness = answer.json::<Readiness>().await?;
    Ok(Said { samples: openmetrics::read(&metrics), misses: readiness.reasons, clocks_apart })
}

fn date(answer: &reqwest::Response) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(answer.headers().get(reqwest::header::DATE)?.to_str().ok()?, &Rfc2822).ok()
}

/// A `Date` is a whole second, and was written at some moment between asking and hearing.
fn apart(theirs: OffsetDateTime, asked: OffsetDateTime, heard: OffsetDateTime) -> time::Duration {
    let (earliest, latest) = (theirs, theirs + time::Duration::SECOND);
    (asked - latest).max(earliest - heard).max(time::Duration::ZERO)
}

pub(super) fn told(error: &reqwest::Error) -> String {
    match error {
        error if error.is_timeout() => "it does not answer in time".to_owned(),
        error if error.is_connect() => "it is not there".to_owned(),
        error => format!("its answer cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_keeps_the_time_of_the_last_answer() {
        let before = [
            Instance::that_says(Service::Worker, "w:1", Ok("")),
            Instance::that_says(Service::Ingest, "w:1", Err("gone")),
        ];
        let mut now = ["w:1", "w:2"].map(|address| Instance::that_says(Service::Worker, address, Err("gone")));
        remember_answers(&mut now, &before);
        assert!(before[0].answered_at.is_some());
        assert_eq!(now.map(|one| one.answered_at), [before[0].answered_at, None]);
    }

    #[test]
    fn of_a_url_the_host_and_the_port_are_shown() {
        let places = ["http://worker:9090", "worker:9090/", "http://me:hush@worker:9090/metrics", "http://[::1]:9090"];
        assert_eq!(places.map(place), ["worker:9090", "worker:9090", "worker:9090", "[::1]:9090"]);
    }

    #[test]
    fn clocks_are_apart_by_no_more_than_an_answer_shows() {
        let at = |seconds: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let half = time::Duration::milliseconds(500);
        assert_eq!(apart(at(100), at(100) + half, at(100) + half), time::Duration::ZERO);
        assert_eq!(apart(at(99), at(100), at(101)), time::Duration::ZERO);
        assert_eq!(apart(at(110), at(100), at(101)).whole_seconds(), 9);
        assert_eq!(apart(at(90), at(100), at(101)).whole_seconds(), 9);
    }
}
