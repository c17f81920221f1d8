//! How each source does. What ingest counted is since each ingest started; the last webhook that was processed is known
//! beyond that, from the database.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::config::{SourceConfig, Verification};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::server::monitor::Known;
use crate::server::monitor::standing::{SecretView, Standing};
use crate::server::state::Console;

/// A source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    pub(crate) source: String,
    pub(crate) provider: String,
    /// Whether its webhooks are verified at all.
    pub(crate) verified: bool,
    /// When the last webhook was accepted, whether or not it is processed by now; `null` when none is known of.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_received_at: Option<OffsetDateTime>,
    /// How long that is ago, in seconds.
    pub(crate) last_received_age_s: Option<i64>,
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
    let rows = known.rows.as_ref().and_then(|rows| rows.as_ref().ok());
    let processed =
        rows.and_then(|rows| rows.latest.iter().find(|(source, _at)| source == name)).map(|(_source, at)| *at);
    let standing = Standing::of(&known.services, name);
    let last_received_at = standing.last_accepted_at.max(processed);
    SourceView {
        source: name.to_owned(),
        provider: config.provider.to_string(),
        verified: config.verification != Some(Verification::None),
        last_received_at,
        last_received_age_s: last_received_at.map(|at| (now - at).whole_seconds().max(0)),
        secrets: standing.secrets(config.secrets.iter().map(|secret| secret.not_after)),
        search_keys: config.search_keys.keys().map(ToString::to_string).collect(),
        failed_in_a_row: standing.failed_in_a_row,
        tolerates: standing.tolerated.map(|tolerated| tolerated as u32).or(tolerates),
        at_risk: standing.is_at_risk(now),
        accepted: standing.accepted,
        refused: standing.refused,
        verification_failures: standing.verification_failures,
    }
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;
    use crate::server::monitor::rows::Rows;
    use crate::server::monitor::services::{Instance, Service};

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn seen(metrics: &str, processed: i64) -> SourceView {
        let config =
            Config::parse("t", "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n").unwrap();
        let services = vec![Instance::that_says(Service::Ingest, "a:1", Ok(metrics))];
        let rows = Rows { latest: vec![("shop".to_owned(), at(processed))], ..Rows::default() };
        let known = Known { services, rows: Some(Ok(rows)), ..Known::default() };
        let (name, source) = config.sources.iter().next().unwrap();
        view(name.as_str(), source, &known, Some(8), at(2_000))
    }

    #[test]
    fn the_last_webhook_is_the_last_that_was_accepted_processed_or_not() {
        let accepted = "webhook_last_accepted_timestamp_seconds{source=\"shop\"} 1900\n";
        let waits = seen(accepted, 500);
        assert_eq!((waits.last_received_at, waits.last_received_age_s), (Some(at(1_900)), Some(100)));
        // An ingest that has started anew has forgotten.
        let forgotten = seen("", 500);
        assert_eq!((forgotten.last_received_at, forgotten.last_received_age_s), (Some(at(500)), Some(1_500)));
    }

    #[test]
    fn what_is_tolerated_is_ingests_word_or_the_providers_file() {
        let failed = "webhook_failed_answers_in_a_row{source=\"shop\"} 6\n";
        let unsaid = seen(failed, 500);
        assert_eq!((unsaid.tolerates, unsaid.at_risk, unsaid.failed_in_a_row), (Some(8), false, Some(6.0)));
        let said = seen(&format!("{failed}webhook_failed_answers_tolerated{{source=\"shop\"}} 5\n"), 500);
        assert_eq!((said.tolerates, said.at_risk), (Some(5), true));
    }
}
