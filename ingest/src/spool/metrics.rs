//! What is counted of the spool. Gauges are taken when they are asked for, so that an age is never stale.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shared::config::SpoolConfig;
use shared::spool::{Disk, Store};
use time::OffsetDateTime;

/// Counters, and the gauge of what nobody else knows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) spooled: Counter,
    pub(crate) drained: Counter,
    pub(crate) set_aside: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) adopted_deferred: Gauge,
    /// Webhooks that shared a file.
    pub(crate) group: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            spooled: Counter::default(),
            drained: Counter::default(),
            set_aside: Counter::default(),
            write_failures: Counter::default(),
            adopted_deferred: Gauge::default(),
            group: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("webhook_spool_written", "Webhooks kept in the spool and answered 2xx", &metrics.spooled);
        counter("webhook_spool_drained", "Webhooks published from the spool, confirmed", &metrics.drained);
        counter("webhook_spool_set_aside", "Files moved to corrupt/: a person must look", &metrics.set_aside);
        counter("webhook_spool_write_failures", "Files that could not be made durable", &metrics.write_failures);
        registry.register(
            "webhook_spool_adopted_deferred_files",
            "As webhook_spool_deferred_files, in the spools of ingests that are gone",
            metrics.adopted_deferred.clone(),
        );
        registry.register("webhook_spool_group", "Webhooks that share a file, and so an fsync", metrics.group.clone());
        metrics
    }
}

/// Gauges of a store, and its limits beside them.
pub(crate) struct Gauges<D> {
    pub(crate) store: Arc<Store<D>>,
    pub(crate) config: SpoolConfig,
}

impl<D> fmt::Debug for Gauges<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl<D: Disk> Collector for Gauges<D> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let held = self.store.holdings();
        let age = held.oldest.map_or(0, |oldest| (OffsetDateTime::now_utc() - oldest).whole_seconds().max(0));
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("webhook_spool_bytes", "Bytes of all files of this ingest's spool", held.bytes)?;
        gauge("webhook_spool_bytes_limit", "Beyond it, 503 (spool.max_bytes)", self.config.max_bytes)?;
        gauge(
            "webhook_spool_min_free_bytes",
            "Left free on the disk (spool.min_free_bytes)",
            self.config.min_free_bytes,
        )?;
        let help = "At most so many webhooks share a file (spool.group)";
        gauge("webhook_spool_group_limit", help, self.config.group.try_into().unwrap_or(u64::MAX))?;
        let help = "At most so many webhooks a second are published from the spool (spool.drain_per_second)";
        gauge("webhook_spool_drain_per_second", help, self.config.drain_per_second.into())?;
        gauge("webhook_spool_files", "Files that wait to be published", held.files)?;
        gauge(
            "webhook_spool_oldest_age_seconds",
            "Age of the oldest webhook in the spool; 0 if none",
            age.unsigned_abs(),
        )?;
        let help = "Webhooks in the spool that cannot be read, published or removed; they are tried again";
        gauge("webhook_spool_deferred_files", help, held.deferred_files)?;
        gauge("webhook_spool_corrupt_files", "Files in corrupt/: a person must look", held.corrupt_files)?;
        match self.store.free_bytes() {
            Some(free) => gauge("webhook_spool_free_bytes", "Free on the spool's disk", free),
            None => Ok(()),
        }
    }
}
