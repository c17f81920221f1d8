//! How each source does. What ingest counted is since each ingest started; the last webhook is from the database.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::config::{SourceConfig, Verification};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::server::monitor::Known;
use crate::server::monitor::services::{Instance, Service};
use crate::server::state::Console;

/// A source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    pub(crate) source: String,
    pub(crate) provider: String,
    /// Whether its webhooks are verified at all.
    pub(crate) verified: bool,
    /// When the last webhook was received that was processed; `null` when none was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_received_at: Option<OffsetDateTime>,
    /// Requests that were accepted, since each ingest started.
    pub(crate) accepted: f64,
    /// Requests that were refused or not taken, by outcome, since each ingest started.
    pub(crate) refused: BTreeMap<String, f64>,
    /// Requests that were not genuine, by reason, since each ingest started.
    pub(crate) verification_failures: BTreeMap<String, f64>,
    pub(crate) secrets: Vec<SecretView>,
    /// The names of its search keys.
    pub(crate) search_keys: Vec<String>,
    /// How often in a row the source was answered something else than 2xx, by all ingests together; `null` when no ingest
    /// says.
    pub(crate) failed_in_a_row: Option<f64>,
    /// How many such answers the provider takes before it ends the subscription; `null` when it does not.
    pub(crate) tolerates: Option<u32>,
    /// Whether the provider may end the subscription.
    pub(crate) at_risk: bool,
}

/// How long after the last webhook that was accepted failures are a row, in seconds: as the alert has it.
const RISK_AFTER_S: f64 = 60.0;

/// A secret, by its position; never by its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// From 1, as in `sources.NAME.secrets`.
    pub(crate) position: usize,
    /// When it last signed a webhook, as far as the running ingests know.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_used_at: Option<OffsetDateTime>,
    /// From then on it proves nothing.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) not_after: Option<OffsetDateTime>,
}

/// All sources that are configured.
pub(crate) fn read(console: &Console) -> Vec<SourceView> {
    let known = console.monitor.known();
    let (sources, now) = (console.config.sources.iter(), OffsetDateTime::now_utc());
    sources.map(|(name, config)| view(name.as_str(), config, &known, tolerates(console, config), now)).collect()
}

fn tolerates(console: &Console, config: &SourceConfig) -> Option<u32> {
    console.providers.get(config.provider.as_str()).and_then(shared::provider::Provider::failures_tolerated)
}

fn view(name: &str, config: &SourceConfig, known: &Known, tolerates: Option<u32>, now: OffsetDateTime) -> SourceView {
    let latest = known.rows.as_ref().and_then(|rows| rows.as_ref().ok()).map(|rows| rows.latest.as_slice());
    let latest = latest.unwrap_or_default().iter().find(|(source, _at)| source == name).map(|(_source, at)| *at);
    let ingests: Vec<&Instance> = known.services.iter().filter(|one| one.service == Service::Ingest).collect();
    let mut refused = by_label(&ingests, name, ("webhook_requests_total", "outcome"));
    let accepted = refused.remove("accepted").unwrap_or(0.0);
    refused.remove("handshake");
    let failed_in_a_row = together(&ingests, name, "webhook_failed_answers_in_a_row");
    let last_accepted = values(&ingests, name, "webhook_last_accepted_timestamp_seconds").fold(0.0, f64::max);
    let accepted_of_late = now.unix_timestamp() as f64 - last_accepted < RISK_AFTER_S;
    let secret = |index: usize| {
        let position = index + 1;
        let used = newest(&ingests, name, position);
        let not_after = config.secrets.get(index).and_then(|secret| secret.not_after);
        SecretView { position, last_used_at: used, not_after }
    };
    SourceView {
        source: name.to_owned(),
        provider: config.provider.to_string(),
        verified: config.verification != Some(Verification::None),
        last_received_at: latest,
        accepted,
        refused,
        verification_failures: by_label(&ingests, name, ("webhook_verification_failures_total", "reason")),
        secrets: (0..config.secrets.len()).map(secret).collect(),
        search_keys: config.search_keys.keys().map(ToString::to_string).collect(),
        failed_in_a_row,
        tolerates,
        at_risk: !accepted_of_late
            && tolerates.zip(failed_in_a_row).is_some_and(|(tolerates, failed)| failed >= f64::from(tolerates)),
    }
}

/// A metric of a source, added up over all ingests, by another label.
fn by_label(ingests: &[&Instance], source: &str, (metric, label): (&str, &str)) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for sample in ingests.iter().filter_map(|ingest| ingest.said.as_ref().ok()).flat_map(|said| &said.samples) {
        if sample.name == metric && sample.label("source") == source {
            *sums.entry(sample.label(label).to_owned()).or_insert(0.0) += sample.value;
        }
    }
    sums
}

/// A metric of a source, added up over all ingests: the provider does not know which of them answered. As the alert does.
fn together(ingests: &[&Instance], source: &str, metric: &str) -> Option<f64> {
    values(ingests, source, metric).reduce(|one, other| one + other)
}

fn values(ingests: &[&Instance], source: &str, metric: &str) -> impl Iterator<Item = f64> {
    let samples = ingests.iter().filter_map(|ingest| ingest.said.as_ref().ok()).flat_map(|said| &said.samples);
    samples.filter(move |sample| sample.name == metric && sample.label("source") == source).map(|sample| sample.value)
}

fn newest(ingests: &[&Instance], source: &str, position: usize) -> Option<OffsetDateTime> {
    let samples = ingests.iter().filter_map(|ingest| ingest.said.as_ref().ok()).flat_map(|said| &said.samples);
    let used = samples.filter(|sample| {
        sample.name == "webhook_secret_last_used_timestamp_seconds"
            && sample.label("source") == source
            && sample.label("secret") == position.to_string()
    });
    let newest = used.map(|sample| sample.value).fold(0.0, f64::max);
    (newest > 0.0).then(|| OffsetDateTime::from_unix_timestamp(newest as i64).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;
    use crate::server::monitor::openmetrics;
    use crate::server::monitor::services::Said;

    /// The last webhook was accepted at 1000.
    fn looked(failed: &[u32], now: i64) -> SourceView {
        let config =
            Config::parse("t", "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n").unwrap();
        let metrics = "webhook_requests_total{source=\"shop\",outcome=\"accepted\"} 5\n\
             webhook_requests_total{source=\"other\",outcome=\"accepted\"} 7\n\
             webhook_requests_total{source=\"shop\",outcome=\"unavailable\"} 2\n\
             webhook_verification_failures_total{source=\"shop\",reason=\"mismatch\"} 3\n\
             webhook_last_accepted_timestamp_seconds{source=\"shop\"} 1000\n\
             webhook_secret_last_used_timestamp_seconds{source=\"shop\",secret=\"1\"} 1000\n";
        let ingest = |metrics: &str| {
            let said = Ok(Said { samples: openmetrics::read(metrics), misses: Vec::new() });
            Instance { service: Service::Ingest, address: "a:1".to_owned(), said }
        };
        let failed = failed
            .iter()
            .map(|failed| ingest(&format!("webhook_failed_answers_in_a_row{{source=\"shop\"}} {failed}\n")));
        let services = std::iter::once(ingest(metrics)).chain(failed).collect();
        let known = Known { services, ..Known::default() };
        let (name, source) = config.sources.iter().next().unwrap();
        view(name.as_str(), source, &known, Some(8), OffsetDateTime::from_unix_timestamp(now).unwrap())
    }

    #[test]
    fn a_source_is_told_by_what_ingest_counted_of_it() {
        let source = looked(&[7], 2_000);
        assert_eq!((source.accepted, source.refused["unavailable"]), (5.0, 2.0));
        assert_eq!(source.verification_failures["mismatch"], 3.0);
        assert_eq!(source.secrets[0].last_used_at, OffsetDateTime::from_unix_timestamp(1_000).ok());
        assert!(!source.at_risk);
    }

    #[test]
    fn a_subscription_is_at_risk_from_as_many_failures_in_a_row_as_are_tolerated() {
        assert!(looked(&[8], 2_000).at_risk);
        // By all ingests together: the provider does not know which of them answered.
        let source = looked(&[5, 3], 2_000);
        assert_eq!((source.failed_in_a_row, source.at_risk), (Some(8.0), true));
        assert!(!looked(&[5, 2], 2_000).at_risk);
        // Each counts since its own last 2xx: where one was accepted within the last minute, it is no row.
        assert!(!looked(&[5, 3], 1_059).at_risk);
        assert_eq!(looked(&[], 2_000).failed_in_a_row, None);
    }
}
