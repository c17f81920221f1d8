//! How many connections to Postgres are in use, to be held against `worker.database_connections`. Counted when it is asked.

use std::fmt;

use deadpool_postgres::Pool;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The gauge.
struct InUse(Pool);

/// Registers it.
pub(crate) fn register(pool: Pool, registry: &mut Registry) {
    registry.register_collector(Box::new(InUse(pool)));
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}

impl Collector for InUse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pool = self.0.status();
        let used = i64::try_from(pool.size.saturating_sub(pool.available)).unwrap_or(i64::MAX);
        let help = "Connections to Postgres in use";
        let gauge = encoder.encode_descriptor("worker_database_connections", help, None, MetricType::Gauge)?;
        ConstGauge::new(used).encode(gauge)
    }
}
