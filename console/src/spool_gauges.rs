//! What each ingest says of its spool, read from the metrics on its ops port.

use serde::Serialize;

use crate::output::{age, table};
use crate::server::monitor::services::{Asker, Instance, Service};
use crate::settings::Settings;

/// One ingest's spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SpoolGauges {
    /// Where the ingest answers: `host:port`, or the name that has no address.
    pub(crate) ingest: String,
    /// Files that wait to be published; `null` when the ingest did not answer or has no spool.
    pub(crate) files: Option<u64>,
    /// Their bytes.
    pub(crate) bytes: Option<u64>,
    /// The age of the oldest of them, in seconds.
    pub(crate) oldest_age_s: Option<u64>,
    /// Damaged files: a person must look.
    pub(crate) corrupt_files: Option<u64>,
    /// Files that cannot be read, published or removed, in the spools of ingests that are gone, too. They are tried again.
    pub(crate) deferred_files: Option<u64>,
    /// Why there is no answer.
    pub(crate) error: Option<String>,
}

impl SpoolGauges {
    /// What one ingest says of it.
    pub(crate) fn of(ingest: &Instance) -> Self {
        let gauge = |name: &str| ingest.sum(name).map(|value| value as u64);
        Self {
            ingest: ingest.address.clone(),
            files: gauge("webhook_spool_files"),
            bytes: gauge("webhook_spool_bytes"),
            oldest_age_s: gauge("webhook_spool_oldest_age_seconds"),
            corrupt_files: gauge("webhook_spool_corrupt_files"),
            deferred_files: gauge("webhook_spool_deferred_files")
                .map(|own| own + gauge("webhook_spool_adopted_deferred_files").unwrap_or(0)),
            error: ingest.said.as_ref().err().cloned(),
        }
    }

    /// What each ingest among the services says of it.
    pub(crate) fn of_all(services: &[Instance]) -> Vec<Self> {
        services.iter().filter(|one| one.service == Service::Ingest).map(Self::of).collect()
    }
}

/// A table of them.
pub(crate) fn text(spools: &[SpoolGauges]) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let row = |spool: &SpoolGauges| {
        let oldest = spool.oldest_age_s.and_then(|seconds| i64::try_from(seconds).ok());
        let oldest = oldest.filter(|_| spool.files != Some(0)).map(time::Duration::seconds);
        [
            spool.ingest.clone(),
            number(spool.files),
            number(spool.bytes),
            oldest.map_or_else(|| "-".to_owned(), age),
            number(spool.corrupt_files),
            number(spool.deferred_files),
        ]
    };
    table(["SPOOL OF", "FILES", "BYTES", "OLDEST", "DAMAGED", "DEFERRED"], spools.iter().map(row))
}

/// Asks every ingest that is named; `None` where none is.
///
/// # Errors
/// When this machine can ask nobody.
pub(crate) async fn ask(settings: &Settings) -> reqwest::Result<Option<Vec<SpoolGauges>>> {
    let Some(urls) = settings.ingest_ops_url.as_deref() else { return Ok(None) };
    let ingests = Asker::new()?.ask(Service::Ingest, Some(urls)).await;
    Ok(Some(SpoolGauges::of_all(&ingests)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let metrics = "# TYPE webhook_spool_bytes gauge\nwebhook_spool_bytes_limit 9\nwebhook_spool_bytes 42\n";
        let spool = SpoolGauges::of(&Instance::that_says(Service::Ingest, "a:1", Ok(metrics)));
        assert_eq!((spool.bytes, spool.files), (Some(42), None));
    }

    #[test]
    fn what_is_deferred_is_counted_in_the_spools_of_ingests_that_are_gone_too() {
        let metrics =
            "webhook_spool_bytes 42\nwebhook_spool_deferred_files 2\nwebhook_spool_adopted_deferred_files 1\n";
        let spool = SpoolGauges::of(&Instance::that_says(Service::Ingest, "a:1", Ok(metrics)));
        assert_eq!((spool.bytes, spool.files, spool.deferred_files), (Some(42), None, Some(3)));
        let gone = SpoolGauges::of(&Instance::that_says(Service::Ingest, "a:1", Err("it is not there")));
        assert_eq!((gone.bytes, gone.error.as_deref()), (None, Some("it is not there")));
    }
}
