//! What the ingests say of one source, together: how its provider is answered, what was refused, which secrets sign.
//!
//! Subscriptions are at risk here as the alerts `OncehookSubscriptionAtRisk` and `OncehookAnswersFail` have it. The provider
//! does not know which ingest answered, so what failed is added up; and where any of them accepted a webhook of late, it
//! is no row.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::openmetrics::Sample;
use super::services::{Instance, Service};

/// How long after the last webhook that was accepted failures are a row.
const RISK_AFTER: time::Duration = time::Duration::seconds(60);
/// How many genuine webhooks in a row one ingest may answer with an error before it is told.
const FAILED_IN_A_ROW: f64 = 3.0;

/// What the ingests say of a source. Counts are since each of them started.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    /// Requests that were accepted.
    pub(crate) accepted: f64,
    /// Requests that were refused or not taken, by outcome.
    pub(crate) refused: BTreeMap<String, f64>,
    /// Requests that were not genuine, by reason.
    pub(crate) verification_failures: BTreeMap<String, f64>,
    /// When a webhook was last accepted; `None` when none was since they started.
    pub(crate) last_accepted_at: Option<OffsetDateTime>,
    /// Genuine webhooks that were not answered 2xx since each ingest's last one that was, added up; `None` when no ingest
    /// says.
    pub(crate) failed_in_a_row: Option<f64>,
    /// The same of the ingest that fails most.
    pub(crate) failed_at_one: f64,
    /// After how many the provider ends the subscription, where it does.
    pub(crate) tolerated: Option<f64>,
    /// When each secret last signed a webhook, by its position from 1.
    secrets: BTreeMap<usize, OffsetDateTime>,
}

/// How bad a source's answers are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Risk {
    /// The provider may end the subscription.
    Subscription {
        /// In a row.
        failed: f64,
        /// That the provider takes.
        tolerated: f64,
    },
    /// One ingest does not answer 2xx.
    Answers {
        /// In a row.
        failed: f64,
    },
}

/// A secret, by its position; never by its text.
#[derive(Debug, Clone, Serialize, ToSchema)]
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

impl Standing {
    /// What the ingests among the services say.
    pub(crate) fn of(services: &[Instance], source: &str) -> Self {
        let mut standing = Self::default();
        for sample in samples(services).filter(|sample| sample.label("source") == source) {
            standing.add(sample);
        }
        standing.refused.remove("handshake");
        standing.accepted = standing.refused.remove("accepted").unwrap_or(0.0);
        standing
    }

    fn add(&mut self, sample: &Sample) {
        match sample.name.as_str() {
            "webhook_requests_total" => add(&mut self.refused, sample.label("outcome"), sample.value),
            "webhook_verification_failures_total" => {
                add(&mut self.verification_failures, sample.label("reason"), sample.value);
            }
            "webhook_last_accepted_timestamp_seconds" => {
                self.last_accepted_at = self.last_accepted_at.max(moment(sample.value));
            }
            "webhook_failed_answers_in_a_row" => {
                *self.failed_in_a_row.get_or_insert(0.0) += sample.value;
                self.failed_at_one = self.failed_at_one.max(sample.value);
            }
            "webhook_failed_answers_tolerated" => {
                self.tolerated = Some(self.tolerated.unwrap_or(0.0).max(sample.value));
            }
            "webhook_secret_last_used_timestamp_seconds" => {
                if let (Ok(position), Some(at)) = (sample.label("secret").parse(), moment(sample.value)) {
                    let last = self.secrets.entry(position).or_insert(at);
                    *last = at.max(*last);
                }
            }
            _ => {}
        }
    }

    /// What is to be feared, if anything is.
    pub(crate) fn risk(&self, now: OffsetDateTime) -> Option<Risk> {
        let accepted_of_late = self.last_accepted_at.is_some_and(|at| now - at < RISK_AFTER);
        match self.failed_in_a_row.zip(self.tolerated) {
            Some((failed, tolerated)) if failed >= tolerated && !accepted_of_late => {
                Some(Risk::Subscription { failed, tolerated })
            }
            _ if self.failed_at_one >= FAILED_IN_A_ROW => Some(Risk::Answers { failed: self.failed_at_one }),
            _ => None,
        }
    }

    /// Whether the provider may end the subscription.
    pub(crate) fn is_at_risk(&self, now: OffsetDateTime) -> bool {
        matches!(self.risk(now), Some(Risk::Subscription { .. }))
    }

    /// The configured secrets of a source, given when each ends.
    pub(crate) fn secrets(&self, ends: impl Iterator<Item = Option<OffsetDateTime>>) -> Vec<SecretView> {
        let view = |(position, not_after): (usize, Option<OffsetDateTime>)| {
            let last_used_at = self.secrets.get(&position).copied();
            SecretView { position, last_used_at, not_after }
        };
        (1..).zip(ends).map(view).collect()
    }
}

impl Risk {
    /// In a sentence.
    pub(crate) fn told(self, source: &str) -> String {
        match self {
            Self::Subscription { failed, tolerated } => format!(
                "the subscription of {source} is at risk: {failed} webhooks in a row were not answered 2xx, and its provider takes {tolerated}"
            ),
            Self::Answers { failed } => {
                format!("the last {failed} webhooks of {source} at one ingest were not answered 2xx")
            }
        }
    }
}

/// The sources that any ingest answers for.
pub(crate) fn sources(services: &[Instance]) -> std::collections::BTreeSet<&str> {
    let samples = samples(services).filter(|sample| sample.name == "webhook_failed_answers_in_a_row");
    samples.map(|sample| sample.label("source")).collect()
}

fn samples(services: &[Instance]) -> impl Iterator<Item = &Sample> {
    let ingests = services.iter().filter(|one| one.service == Service::Ingest);
    ingests.filter_map(|ingest| ingest.said.as_ref().ok()).flat_map(|said| &said.samples)
}

fn add(sums: &mut BTreeMap<String, f64>, label: &str, value: f64) {
    *sums.entry(label.to_owned()).or_insert(0.0) += value;
}

/// A gauge that is a time; 0 is none.
fn moment(seconds: f64) -> Option<OffsetDateTime> {
    (seconds > 0.0).then(|| OffsetDateTime::from_unix_timestamp(seconds as i64).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    /// The last webhook was accepted at 1000; each ingest has failed so often since its own last one.
    fn standing(failed: &[u32]) -> Standing {
        let ingest = |metrics: &str| Instance::that_says(Service::Ingest, "a:1", Ok(metrics));
        let first = "webhook_requests_total{source=\"shop\",outcome=\"accepted\"} 5\n\
             webhook_requests_total{source=\"shop\",outcome=\"handshake\"} 1\n\
             webhook_requests_total{source=\"other\",outcome=\"accepted\"} 7\n\
             webhook_requests_total{source=\"shop\",outcome=\"unavailable\"} 2\n\
             webhook_verification_failures_total{source=\"shop\",reason=\"mismatch\"} 3\n\
             webhook_last_accepted_timestamp_seconds{source=\"shop\"} 1000\n\
             webhook_failed_answers_tolerated{source=\"shop\"} 8\n\
             webhook_secret_last_used_timestamp_seconds{source=\"shop\",secret=\"2\"} 900\n";
        let failed = failed.iter().map(|failed| {
            ingest(&format!(
                "webhook_failed_answers_in_a_row{{source=\"shop\"}} {failed}\n\
                 webhook_last_accepted_timestamp_seconds{{source=\"shop\"}} 500\n\
                 webhook_secret_last_used_timestamp_seconds{{source=\"shop\",secret=\"2\"}} 800\n"
            ))
        });
        let services: Vec<Instance> = std::iter::once(ingest(first)).chain(failed).collect();
        Standing::of(&services, "shop")
    }

    #[test]
    fn what_the_ingests_count_of_a_source_is_added_up() {
        let standing = standing(&[1, 1]);
        assert_eq!((standing.accepted, standing.refused.len(), standing.refused["unavailable"]), (5.0, 1, 2.0));
        assert_eq!(standing.verification_failures["mismatch"], 3.0);
        assert_eq!(standing.last_accepted_at, Some(at(1_000)));
        let secrets = standing.secrets([None, Some(at(5_000))].into_iter());
        assert_eq!(secrets.iter().map(|one| one.last_used_at).collect::<Vec<_>>(), [None, Some(at(900))]);
        assert_eq!(secrets[1].not_after, Some(at(5_000)));
    }

    #[test]
    fn a_subscription_is_at_risk_from_as_many_failures_in_a_row_as_are_tolerated() {
        let risk = |failed: &[u32], now| standing(failed).risk(at(now));
        let at_risk = Some(Risk::Subscription { failed: 8.0, tolerated: 8.0 });
        assert_eq!(risk(&[8], 2_000), at_risk);
        // By all ingests together: the provider does not know which of them answered.
        assert_eq!(risk(&[2, 2, 2, 2], 2_000), at_risk);
        assert_eq!(risk(&[5, 2], 2_000), Some(Risk::Answers { failed: 5.0 }));
        assert_eq!(risk(&[2, 2], 2_000), None);
        // Each counts since its own last 2xx: where one was accepted within the last minute, it is no row.
        assert_eq!(risk(&[2, 2, 2, 2], 1_059), None);
        assert_eq!(risk(&[2, 2, 2, 2], 1_060), at_risk);
        assert_eq!(standing(&[]).failed_in_a_row, None);
    }
}
