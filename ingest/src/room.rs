//! Room for webhooks in flight: so many at once, and so many bytes of their bodies.
//!
//! Bytes are taken as they arrive, and a place when the webhook is known to be genuine; both are given back when it
//! is answered. So memory is bounded by what is configured and not by who sends, and whoever cannot sign takes no
//! place, and no more room than the bytes that they really send. Taking never waits: a full house is told so at once.

use std::sync::Arc;

use shared::config::IngestConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::refused::Refused;

/// Bytes are counted in these: a semaphore has 32-bit permits.
const UNIT_BYTES: usize = 1024;

/// The room that there is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room(Arc<Limits>);

struct Limits {
    webhooks: Arc<Semaphore>,
    units: Arc<Semaphore>,
    metrics: Metrics,
}

/// A webhook's place, given back when dropped.
pub(crate) struct Place {
    _webhook: OwnedSemaphorePermit,
    room: Room,
}

/// The room of a body, given back when dropped.
pub(crate) struct Bytes {
    room: Room,
    units: Option<OwnedSemaphorePermit>,
    taken: usize,
}

impl Room {
    pub(crate) fn new(limits: &IngestConfig, metrics: Metrics) -> Self {
        let units = usize::try_from(limits.max_in_flight_bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        Self(Arc::new(Limits {
            webhooks: Arc::new(Semaphore::new(limits.max_in_flight as usize)),
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            metrics,
        }))
    }

    /// A place for one webhook.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] when there is none.
    pub(crate) fn place(&self) -> Result<Place, Refused> {
        let webhook = Arc::clone(&self.0.webhooks).try_acquire_owned().map_err(|_full| Refused::Overloaded)?;
        self.0.metrics.in_flight.inc();
        Ok(Place { _webhook: webhook, room: self.clone() })
    }

    /// Room for a body that has not begun to arrive.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes { room: self.clone(), units: None, taken: 0 }
    }
}

impl Bytes {
    /// Takes room until the body has so many bytes.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] when there is none.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Refused> {
        let held = self.units.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
        let wanted = u32::try_from(wanted).map_err(|_far_too_large| Refused::Overloaded)?;
        let more =
            Arc::clone(&self.room.0.units).try_acquire_many_owned(wanted).map_err(|_full| Refused::Overloaded)?;
        match &mut self.units {
            Some(units) => units.merge(more),
            None => self.units = Some(more),
        }
        self.room.0.metrics.in_flight_bytes.inc_by(signed(bytes.saturating_sub(self.taken)));
        self.taken = bytes;
        Ok(())
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.metrics.in_flight.dec();
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.room.0.metrics.in_flight_bytes.dec_by(signed(self.taken));
    }
}
