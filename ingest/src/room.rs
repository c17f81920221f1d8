//! Room for webhooks in flight: so many at once, and so many bytes of their bodies.
//!
//! A place is taken before a body is read and given back when the webhook is answered, so memory is
//! bounded by what is configured and not by who sends. Taking one never waits: a full house is told
//! so at once.

use std::sync::Arc;

use shared::config::IngestConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::refused::Refused;

/// Bytes are counted in these: a semaphore has 32-bit permits.
const UNIT_BYTES: usize = 1024;

/// The room that there is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    webhooks: Arc<Semaphore>,
    units: Arc<Semaphore>,
    metrics: Metrics,
}

/// A webhook's place, given back when dropped.
pub(crate) struct Place {
    _webhook: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
    bytes: i64,
    metrics: Metrics,
}

impl Room {
    pub(crate) fn new(limits: &IngestConfig, metrics: Metrics) -> Self {
        let units = usize::try_from(limits.max_in_flight_bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        Self {
            webhooks: Arc::new(Semaphore::new(limits.max_in_flight as usize)),
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            metrics,
        }
    }

    /// A place for one webhook with a body of so many bytes.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] when there is none.
    pub(crate) fn take(&self, bytes: usize) -> Result<Place, Refused> {
        let overloaded = |_full| Refused::Overloaded;
        let webhook = Arc::clone(&self.webhooks).try_acquire_owned().map_err(overloaded)?;
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_far_too_large| Refused::Overloaded)?;
        let units = Arc::clone(&self.units).try_acquire_many_owned(units).map_err(overloaded)?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.in_flight.inc();
        self.metrics.in_flight_bytes.inc_by(bytes);
        Ok(Place { _webhook: webhook, _units: units, bytes, metrics: self.metrics.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.in_flight_bytes.dec_by(self.bytes);
    }
}
