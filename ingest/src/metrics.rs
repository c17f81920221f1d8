//! What ingest counts. Labels come from closed sets: configured sources, outcomes, reason codes.

use crate::connections;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shared::config::IngestConfig;
use shared::metrics::durations;

/// The label of requests that name no configured source: an attacker must not make label values.
pub(crate) const UNKNOWN_SOURCE: &str = "unknown";

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Accepted,
    /// Answered at once; no webhook.
    Handshake,
    MethodNotAllowed,
    NotFound,
    UnknownSource,
    ContentEncoding,
    TooLarge,
    Overloaded,
    TooSlow,
    BrokenBody,
    SignatureRefused,
    NoCertificate,
    Malformed,
    Unavailable,
    /// The sender hung up before there was an answer.
    Aborted,
}

impl Outcome {
    /// The label and the log field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Handshake => "handshake",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::UnknownSource => "unknown_source",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "too_slow",
            Self::BrokenBody => "broken_body",
            Self::SignatureRefused => "signature_refused",
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
            Self::Aborted => "aborted",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

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
    failed_in_a_row: Family<SourceLabels, Gauge>,
    pub(crate) in_flight: Gauge,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) connections: Gauge,
}

impl Metrics {
    /// Registers all of them, and the limits beside what they limit.
    pub(crate) fn register(registry: &mut Registry, limits: &IngestConfig) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            refusals: Family::default(),
            secrets: Family::default(),
            failed_in_a_row: Family::default(),
            in_flight: Gauge::default(),
            in_flight_bytes: Gauge::default(),
            connections: Gauge::default(),
        };
        let limit = |value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        registry.register("webhook_requests", "Requests by source and outcome", metrics.requests.clone());
        registry.register(
            "webhook_request_duration_seconds",
            "From a request's head to its answer",
            metrics.durations.clone(),
        );
        registry.register(
            "webhook_verification_failures",
            "Requests that were not genuine, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "webhook_secret_last_used_timestamp_seconds",
            "When a webhook was last signed with this secret, by its position in sources.NAME.secrets; not there if never",
            metrics.secrets.clone(),
        );
        registry.register(
            "webhook_failed_answers_in_a_row",
            "Answers other than 2xx since the last 2xx: some providers end a subscription after a few",
            metrics.failed_in_a_row.clone(),
        );
        registry.register(
            "webhook_requests_in_flight",
            "Genuine webhooks being published or spooled",
            metrics.in_flight.clone(),
        );
        registry.register(
            "webhook_requests_in_flight_limit",
            "Beyond this many, webhooks are answered 503 (ingest.max_in_flight)",
            limit(limits.max_in_flight.into()),
        );
        registry.register(
            "webhook_requests_in_flight_bytes",
            "Bytes of bodies that have arrived and are not answered",
            metrics.in_flight_bytes.clone(),
        );
        registry.register(
            "webhook_requests_in_flight_bytes_limit",
            "Beyond this many, webhooks are answered 503 (ingest.max_in_flight_bytes)",
            limit(limits.max_in_flight_bytes),
        );
        registry.register("webhook_connections", "Open connections", metrics.connections.clone());
        registry.register(
            "webhook_connections_limit",
            "Beyond this many, connections wait (ingest.max_connections, rounded up to a multiple of the cores)",
            limit((connections::per_worker(limits.max_connections) * connections::workers()) as u64),
        );
        metrics
    }

    /// One request has ended.
    pub(crate) fn ended(&self, source: &str, outcome: Outcome, seconds: f64) {
        self.requests.get_or_create(&RequestLabels { source: source.to_owned(), outcome }).inc();
        let in_a_row = self.failed_in_a_row.get_or_create(&SourceLabels { source: source.to_owned() });
        match outcome {
            Outcome::Accepted | Outcome::Handshake => in_a_row.set(0),
            _ => in_a_row.inc(),
        };
        self.durations.get_or_create(&SourceLabels { source: source.to_owned() }).observe(seconds);
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
