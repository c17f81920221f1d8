//! What ingest counts. Labels come from closed sets: configured sources, outcomes, reason codes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shared::config::IngestConfig;
use shared::metrics::{durations, register_build, register_limit};

use crate::connections;
use crate::outcome::Outcome;
use crate::sources::Sources;
use crate::standing::Standing;

/// The label of requests that name no configured source: an attacker must not make label values.
pub(crate) const UNKNOWN_SOURCE: &str = "unknown";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    source: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    source: String,
    reason: &'static str,
}

/// A secret by its position in the source's list, from 1: never by its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    source: String,
    secret: u64,
}

/// Handles to everything counted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<SourceLabels, Histogram, fn() -> Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    secrets: Family<SecretLabels, Gauge>,
    standing: Standing,
    pub(crate) in_flight: Gauge,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) connections: Gauge,
}

impl Metrics {
    /// Registers all of them, and the limits beside what they limit.
    pub(crate) fn register(registry: &mut Registry, limits: &IngestConfig) -> Self {
        register_build(registry, "ingest");
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            refusals: Family::default(),
            secrets: Family::default(),
            standing: Standing::default(),
            in_flight: Gauge::default(),
            in_flight_bytes: Gauge::default(),
            connections: Gauge::default(),
        };
        metrics.register_requests(registry);
        metrics.register_room(registry, limits);
        metrics.standing.register(registry);
        metrics
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register("webhook_requests", "Requests by source and outcome", self.requests.clone());
        registry.register(
            "webhook_request_duration_seconds",
            "From a request's head to its answer",
            self.durations.clone(),
        );
        registry.register(
            "webhook_verification_failures",
            "Requests that were not genuine, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "webhook_secret_last_used_timestamp_seconds",
            "When a webhook was last signed with this secret, by its position in sources.NAME.secrets; not there if never",
            self.secrets.clone(),
        );
    }

    fn register_room(&self, registry: &mut Registry, limits: &IngestConfig) {
        let in_flight = "webhook_requests_in_flight";
        registry.register(in_flight, "Genuine webhooks being published or spooled", self.in_flight.clone());
        let help = "Beyond this many, webhooks are answered 503 (ingest.max_in_flight)";
        register_limit(registry, in_flight, help, limits.max_in_flight);
        let (bytes, help) =
            ("webhook_requests_in_flight_bytes", "Bytes of bodies that have arrived and are not answered");
        registry.register(bytes, help, self.in_flight_bytes.clone());
        let help = "Beyond this many, webhooks are answered 503 (ingest.max_in_flight_bytes)";
        register_limit(registry, bytes, help, limits.max_in_flight_bytes);
        let connections = "webhook_connections";
        registry.register(connections, "Open connections", self.connections.clone());
        let help = "Beyond this many, connections wait (ingest.max_connections, rounded up to a multiple of the cores)";
        let limit = connections::per_worker(limits.max_connections) * connections::workers();
        register_limit(registry, connections, help, limit);
    }

    /// Lets the configured sources' series exist before their first request.
    pub(crate) fn expect(&self, sources: &Sources) {
        for source in sources.iter() {
            for outcome in Outcome::OF_SOURCES {
                drop(self.requests.get_or_create(&RequestLabels { source: source.name.to_string(), outcome }));
            }
            drop(self.durations.get_or_create(&SourceLabels { source: source.name.to_string() }));
            self.standing.expect(source);
        }
    }

    /// One request has ended.
    pub(crate) fn ended(&self, source: &str, outcome: Outcome, seconds: f64) {
        self.requests.get_or_create(&RequestLabels { source: source.to_owned(), outcome }).inc();
        self.durations.get_or_create(&SourceLabels { source: source.to_owned() }).observe(seconds);
    }

    /// The same, of one that was genuine.
    pub(crate) fn answered(&self, source: &str, outcome: Outcome) {
        self.standing.answered(source, outcome);
    }

    /// A secret made a genuine signature; `index` is its position in the source's list, from 0.
    pub(crate) fn secret_used(&self, source: &str, index: usize) {
        let secret = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        self.secrets.get_or_create(&SecretLabels { source: source.to_owned(), secret }).set(now);
    }

    /// One request was not genuine.
    pub(crate) fn refused(&self, source: &str, reason: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { source: source.to_owned(), reason }).inc();
    }
}
