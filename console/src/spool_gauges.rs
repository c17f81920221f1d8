//! What each ingest says of its spool, read from the metrics on its ops port.

use std::net::ToSocketAddrs;

use serde::Serialize;
use shared::ops;

use crate::output::{age, table};

/// One ingest's spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SpoolGauges {
    /// The ingest's ops URL.
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
    /// What needs a person.
    pub(crate) fn attention(&self) -> Vec<String> {
        let Self { ingest, corrupt_files, deferred_files, error, .. } = self;
        if let Some(error) = error {
            return vec![format!("ingest at {ingest} does not answer: {error}")];
        }
        let corrupt = corrupt_files.filter(|files| *files > 0);
        let deferred = deferred_files.filter(|files| *files > 0);
        let corrupt = corrupt.map(|files| format!("{files} damaged files in the spool of {ingest}"));
        let deferred = deferred
            .map(|files| format!("{files} files in the spool of {ingest} cannot be read, published or removed"));
        corrupt.into_iter().chain(deferred).collect()
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

/// Asks every ingest in a comma-separated list of ops URLs. Blocks.
pub(crate) fn ask(urls: &str) -> Vec<SpoolGauges> {
    urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(ask_one).collect()
}

fn ask_one(url: &str) -> SpoolGauges {
    let (metrics, error) = match metrics(url) {
        Ok(metrics) => (metrics, None),
        Err(error) => (String::new(), Some(error.to_string())),
    };
    SpoolGauges {
        ingest: url.to_owned(),
        files: gauge(&metrics, "webhook_spool_files"),
        bytes: gauge(&metrics, "webhook_spool_bytes"),
        oldest_age_s: gauge(&metrics, "webhook_spool_oldest_age_seconds"),
        corrupt_files: gauge(&metrics, "webhook_spool_corrupt_files"),
        deferred_files: gauge(&metrics, "webhook_spool_deferred_files")
            .map(|own| own + gauge(&metrics, "webhook_spool_adopted_deferred_files").unwrap_or(0)),
        error,
    }
}

fn metrics(url: &str) -> std::io::Result<String> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    ops::get(address, "/metrics")
}

fn gauge(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let metrics = "# TYPE webhook_spool_bytes gauge\nwebhook_spool_bytes_limit 9\nwebhook_spool_bytes 42\n";
        assert_eq!(gauge(metrics, "webhook_spool_bytes"), Some(42));
        assert_eq!(gauge(metrics, "webhook_spool_files"), None);
    }
}
