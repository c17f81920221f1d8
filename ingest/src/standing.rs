//! How ingest stands with a source's provider: answers that failed in a row, beside what the provider tolerates before
//! it ends the subscription.
//!
//! Only genuine webhooks count. A stranger's request fails as it should, and says nothing about the provider. Not
//! promised: what the provider counts. It sees timeouts of the network that never reach ingest.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use time::OffsetDateTime;

use crate::outcome::Outcome;
use crate::sources::Source;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// The gauges. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    failed: Family<SourceLabel, Gauge>,
    tolerated: Family<SourceLabel, Gauge>,
    accepted_at: Family<SourceLabel, Gauge>,
}

impl Standing {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_failed_answers_in_a_row",
            "Genuine webhooks that were not answered 2xx since the last one that was",
            self.failed.clone(),
        );
        registry.register(
            "webhook_failed_answers_tolerated",
            "After this many the provider ends the subscription; not there where that is not known",
            self.tolerated.clone(),
        );
        registry.register(
            "webhook_last_accepted_timestamp_seconds",
            "When a webhook was last answered 2xx; not there if none was since the start",
            self.accepted_at.clone(),
        );
    }

    /// A source begins with nothing failed.
    pub(crate) fn expect(&self, source: &Source) {
        let label = label(source.name.as_str());
        self.failed.get_or_create(&label).set(0);
        if let Some(tolerated) = source.provider.failures_tolerated() {
            self.tolerated.get_or_create(&label).set(tolerated.into());
        }
    }

    /// A genuine request of a configured source has ended.
    pub(crate) fn answered(&self, source: &str, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => {
                self.failed.get_or_create(&label(source)).set(0);
                let now = OffsetDateTime::now_utc().unix_timestamp();
                self.accepted_at.get_or_create(&label(source)).set(now);
            }
            // No webhook: it neither mends nor breaks anything.
            Outcome::Handshake => {}
            _ => {
                self.failed.get_or_create(&label(source)).inc();
            }
        }
    }
}

fn label(source: &str) -> SourceLabel {
    SourceLabel { source: source.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_failures_ends_with_a_webhook_that_was_accepted() {
        let standing = Standing::default();
        let failed = || standing.failed.get_or_create(&label("shop")).get();
        for _ in 0..3 {
            standing.answered("shop", Outcome::Unavailable);
            standing.answered("shop", Outcome::Handshake);
        }
        assert_eq!(failed(), 3);
        standing.answered("other", Outcome::Accepted);
        assert_eq!(failed(), 3);
        standing.answered("shop", Outcome::Accepted);
        assert_eq!(failed(), 0);
    }
}
