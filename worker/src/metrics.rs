//! What the worker counts. Labels come from closed sets: configured names and fixed words.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use shared::config::{Config, OPERATOR_ALERT};
use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;
use shared::metrics::{durations, long_durations, register_build, register_limit};
use time::OffsetDateTime;

use crate::batch::{Outcome, Planned};
use crate::in_hand::InHand;

/// What a message is counted under whose source is not configured.
const UNKNOWN_SOURCE: &str = "unknown";
/// How an attempt to send an effect can end.
const EFFECT_OUTCOMES: [&str; 4] = ["sent", "retried", "failed", "ambiguous"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceOutcome {
    source: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabel {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceReason {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EffectOutcome {
    effect: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EffectLabel {
    effect: String,
}

/// Empty, which is as good as not there, where nothing went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ErrorType {
    error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Caught {
    place: &'static str,
}

/// Where a panic is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PanicPlace {
    /// While a webhook was planned.
    Planning,
    /// While an effect was sent.
    Sending,
}

impl PanicPlace {
    fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Sending => "sending",
        }
    }
}

/// All of the worker's metrics.
pub(crate) struct Metrics {
    sources: Vec<String>,
    processed: Family<SourceOutcome, Counter>,
    parked: Family<SourceReason, Counter>,
    effects: Family<EffectOutcome, Counter>,
    end_to_end: Histogram,
    bundles: Family<SourceLabel, Counter>,
    elements: Family<SourceLabel, Counter>,
    replays: Family<SourceOutcome, Counter>,
    process_duration: Family<ErrorType, Histogram, fn() -> Histogram>,
    effect_duration: Family<EffectLabel, Histogram, fn() -> Histogram>,
    /// The batch in hand; its age tells how far behind this worker is.
    pub(crate) in_hand: InHand,
    /// Webhooks in a committed transaction.
    batch_size: Histogram,
    /// Bytes of their bodies.
    batch_bytes: Histogram,
    /// Seconds from BEGIN to COMMIT.
    transaction_duration: Histogram,
    /// Tries of a batch that found the database away or busy.
    pub(crate) database_waits: Counter,
    /// Sales recorded before with another SKU or quantity.
    pub(crate) conflicting_sales: Counter,
    /// Deliveries taken and not yet settled; the limit is `worker.prefetch`.
    pub(crate) in_flight: Gauge,
    /// Bytes of their bodies; the limit is `worker.in_flight_bytes`.
    pub(crate) in_flight_bytes: Gauge,
    /// Messages moved to the suspects' queue.
    pub(crate) isolated: Counter,
    panics: Family<Caught, Counter>,
    /// Effects being sent; the limit is `dispatch.concurrency`.
    pub(crate) sending: Gauge,
    /// Sends whose lease was lost before they were settled.
    pub(crate) leases_lost: Counter,
}

impl Metrics {
    /// Makes the metrics and registers them, beside the limits that they are to be held against.
    pub(crate) fn register(config: &Config, registry: &mut Registry) -> Self {
        register_build(registry, "worker");
        let metrics = Self::new(config.sources.keys().map(ToString::to_string).collect(), InHand::register(registry));
        metrics.register_webhooks(registry);
        metrics.register_work(registry);
        metrics.register_effects(registry);
        metrics.expect(config);
        register_limits(config, registry);
        metrics
    }

    fn new(sources: Vec<String>, in_hand: InHand) -> Self {
        Self {
            sources,
            in_hand,
            processed: Family::default(),
            parked: Family::default(),
            effects: Family::default(),
            bundles: Family::default(),
            elements: Family::default(),
            replays: Family::default(),
            end_to_end: long_durations(),
            process_duration: Family::new_with_constructor(durations),
            effect_duration: Family::new_with_constructor(durations),
            batch_size: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
            batch_bytes: Histogram::new(exponential_buckets(1024.0, 4.0, 9)), // 1 KiB to 64 MiB
            transaction_duration: durations(),
            database_waits: Counter::default(),
            conflicting_sales: Counter::default(),
            in_flight: Gauge::default(),
            in_flight_bytes: Gauge::default(),
            isolated: Counter::default(),
            panics: Family::default(),
            sending: Gauge::default(),
            leases_lost: Counter::default(),
        }
    }

    fn register_webhooks(&self, registry: &mut Registry) {
        registry.register("webhook_processed", "Webhooks settled, by source and outcome", self.processed.clone());
        registry.register("webhook_parked", "Webhooks parked, by source and reason", self.parked.clone());
        let help = "Bodies with several webhooks that were taken apart";
        registry.register("webhook_bundles", help, self.bundles.clone());
        registry.register("webhook_bundle_elements", "Webhooks that stood in bodies of several", self.elements.clone());
        let help = "Bodies that were processed before under another id: flagged, or dropped as duplicates";
        registry.register("webhook_replays", help, self.replays.clone());
        let help = "From receipt by ingest, or by a person's redrive or replay, to the commit of the effects";
        registry.register_with_unit("webhook_end_to_end", help, Unit::Seconds, self.end_to_end.clone());
    }

    fn register_work(&self, registry: &mut Registry) {
        let help = "From taking a webhook into hand to its being settled in Postgres, by what went wrong";
        registry.register("messaging_process_duration_seconds", help, self.process_duration.clone());
        registry.register("worker_batch_size", "Webhooks in a committed transaction", self.batch_size.clone());
        registry.register(
            "worker_batch_bytes",
            "Bytes of the bodies in a committed transaction",
            self.batch_bytes.clone(),
        );
        let help = "From BEGIN to COMMIT";
        registry.register_with_unit(
            "worker_transaction_duration",
            help,
            Unit::Seconds,
            self.transaction_duration.clone(),
        );
        let help = "Tries of a batch that found the database away or busy";
        registry.register("worker_database_waits", help, self.database_waits.clone());
        let help = "Sold lines that were recorded before with another SKU or quantity";
        registry.register("inventory_conflicting_sales", help, self.conflicting_sales.clone());
        registry.register("worker_in_flight", "Deliveries taken and not yet settled", self.in_flight.clone());
        let help = "Bodies of deliveries taken and not yet settled";
        registry.register_with_unit("worker_in_flight", help, Unit::Bytes, self.in_flight_bytes.clone());
        registry.register("worker_panics", "Panics caught, by what they were caught in", self.panics.clone());
        registry.register("worker_isolated", "Messages moved to the suspects' queue", self.isolated.clone());
    }

    fn register_effects(&self, registry: &mut Registry) {
        registry.register("webhook_effects", "Attempts to send an effect, by outcome", self.effects.clone());
        let help = "What one attempt to send an effect took";
        registry.register_with_unit("webhook_effect_duration", help, Unit::Seconds, self.effect_duration.clone());
        registry.register("worker_effects_sending", "Effects being sent", self.sending.clone());
        let help = "Sends whose lease was lost before they were settled";
        registry.register("worker_leases_lost", help, self.leases_lost.clone());
    }

    /// Lets the series of what is configured exist before anything happens.
    fn expect(&self, config: &Config) {
        for source in &self.sources {
            for outcome in Outcome::ALL.map(Outcome::as_str).into_iter().chain(["retried", "parked"]) {
                drop(self.processed.get_or_create(&SourceOutcome { source: source.clone(), outcome }));
            }
            for reason in ParkReason::ALL.map(ParkReason::as_str) {
                drop(self.parked.get_or_create(&SourceReason { source: source.clone(), reason }));
            }
            for outcome in ["flagged", "dropped"] {
                drop(self.replays.get_or_create(&SourceOutcome { source: source.clone(), outcome }));
            }
            drop(self.bundles.get_or_create(&SourceLabel { source: source.clone() }));
            drop(self.elements.get_or_create(&SourceLabel { source: source.clone() }));
        }
        for reason in ParkReason::ALL.map(ParkReason::as_str) {
            drop(self.parked.get_or_create(&SourceReason { source: UNKNOWN_SOURCE.to_owned(), reason }));
        }
        for place in [PanicPlace::Planning, PanicPlace::Sending].map(PanicPlace::as_str) {
            drop(self.panics.get_or_create(&Caught { place }));
        }
        let effects = config.effects.email.keys().chain(config.effects.http.keys()).map(ToString::to_string);
        for effect in effects.chain([OPERATOR_ALERT.to_owned()]) {
            for outcome in EFFECT_OUTCOMES {
                drop(self.effects.get_or_create(&EffectOutcome { effect: effect.clone(), outcome }));
            }
            drop(self.effect_duration.get_or_create(&EffectLabel { effect }));
        }
        drop(self.process_duration.get_or_create(&ErrorType { error_type: "" }));
    }

    /// A batch was committed; `took` is from BEGIN to COMMIT.
    pub(crate) fn committed(&self, batch: &[Planned], took: Duration) {
        let bytes: usize = batch.iter().map(|planned| planned.message.body.len()).sum();
        self.batch_size.observe(u32::try_from(batch.len()).map_or(f64::MAX, f64::from));
        self.batch_bytes.observe(u32::try_from(bytes).map_or(f64::MAX, f64::from));
        self.transaction_duration.observe(took.as_secs_f64());
    }

    /// Webhooks were settled together; `error_type` says how they failed, and is empty where they did not.
    pub(crate) fn settled(&self, error_type: &'static str, webhooks: usize, took: Duration) {
        let durations = self.process_duration.get_or_create_owned(&ErrorType { error_type });
        for _ in 0..webhooks {
            durations.observe(took.as_secs_f64());
        }
    }

    /// A webhook left the transaction.
    pub(crate) fn processed(&self, message: &Message, outcome: Outcome) {
        self.count(message, outcome.as_str());
        let latency = OffsetDateTime::now_utc() - message.under_way_since();
        self.end_to_end.observe(latency.as_seconds_f64().max(0.0));
    }

    /// A webhook went to the retry ladder.
    pub(crate) fn retried(&self, message: &Message) {
        self.count(message, "retried");
    }

    /// A body with several webhooks was taken apart.
    pub(crate) fn scattered(&self, message: &Message, elements: usize) {
        let label = SourceLabel { source: self.source(message) };
        self.bundles.get_or_create(&label).inc();
        self.elements.get_or_create(&label).inc_by(u64::try_from(elements).unwrap_or(u64::MAX));
    }

    /// A known body came under a fresh id.
    pub(crate) fn replayed(&self, message: &Message, dropped: bool) {
        let outcome = if dropped { "dropped" } else { "flagged" };
        self.replays.get_or_create(&SourceOutcome { source: self.source(message), outcome }).inc();
    }

    /// A webhook was parked.
    pub(crate) fn parked(&self, message: &Message, reason: ParkReason) {
        self.count(message, "parked");
        let labels = SourceReason { source: self.source(message), reason: reason.as_str() };
        self.parked.get_or_create(&labels).inc();
    }

    /// A panic was caught; its webhook or effect goes the way of what may succeed later.
    pub(crate) fn panicked(&self, place: PanicPlace) {
        self.panics.get_or_create(&Caught { place: place.as_str() }).inc();
    }

    /// An attempt to send an effect ended.
    pub(crate) fn effect(&self, effect: &str, outcome: &'static str, took: Duration) {
        self.effects.get_or_create(&EffectOutcome { effect: effect.to_owned(), outcome }).inc();
        let label = EffectLabel { effect: effect.to_owned() };
        self.effect_duration.get_or_create(&label).observe(took.as_secs_f64());
    }

    fn count(&self, message: &Message, outcome: &'static str) {
        self.processed.get_or_create(&SourceOutcome { source: self.source(message), outcome }).inc();
    }

    /// Only configured names become labels: a salvaged message's source could be anything.
    fn source(&self, message: &Message) -> String {
        let source = message.source.as_str();
        if self.sources.iter().any(|known| known == source) { source.to_owned() } else { UNKNOWN_SOURCE.to_owned() }
    }
}

fn register_limits(config: &Config, registry: &mut Registry) {
    let (worker, dispatch) = (&config.worker, &config.dispatch);
    let help = "At most so many webhooks are in a transaction (worker.batch_size)";
    register_limit(registry, "worker_batch_size", help, worker.batch_size);
    let help = "At most so many bytes of bodies are in a transaction; a larger body goes alone (worker.batch_bytes)";
    register_limit(registry, "worker_batch_bytes", help, worker.batch_bytes);
    let help = "At most so many deliveries of the work queue (worker.prefetch, or fewer, so that worker.in_flight_bytes holds)";
    register_limit(registry, "worker_in_flight", help, config.prefetch());
    let help = "What worker_in_flight_bytes is kept below (worker.in_flight_bytes)";
    register_limit(registry, "worker_in_flight_bytes", help, worker.in_flight_bytes);
    let help = "At most so many connections to Postgres (worker.database_connections)";
    register_limit(registry, "worker_database_connections", help, worker.database_connections);
    let help = "At most so many effects are sent at once (dispatch.concurrency)";
    register_limit(registry, "worker_effects_sending", help, dispatch.concurrency);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An alert asks what has grown, and a series that begins at 1 has not.
    #[test]
    fn what_may_be_parked_is_there_before_it_is_even_of_a_source_that_is_not_configured() {
        let config = "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n";
        let mut registry = Registry::default();
        Metrics::register(&Config::parse("t", config).unwrap(), &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for source in ["shop", "unknown"] {
            let series = format!("webhook_parked_total{{source=\"{source}\",reason=\"dead-lettered\"}} 0\n");
            assert!(text.contains(&series), "{series}{text}");
        }
    }
}
