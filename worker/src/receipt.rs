//! What is left of a delivery when its message is read: the right to acknowledge it, and its place
//! among the deliveries in flight.

use std::sync::Arc;

use lapin::Acker;
use lapin::options::BasicAckOptions;
use shared::amqp::SessionError;

use crate::lane::Ack;
use crate::metrics::Metrics;

/// A delivery that is not settled; dropped, it is left to the broker to deliver it again.
pub(crate) struct Receipt {
    acker: Acker,
    _place: Option<Place>,
}

/// Counts a delivery among those in flight, while it lasts.
pub(crate) struct Place {
    metrics: Arc<Metrics>,
    bytes: i64,
}

impl Receipt {
    pub(crate) fn new(acker: Acker, place: Option<Place>) -> Self {
        Self { acker, _place: place }
    }
}

impl Place {
    pub(crate) fn take(metrics: &Arc<Metrics>, bytes: usize) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.in_flight.inc();
        metrics.in_flight_bytes.inc_by(bytes);
        Self { metrics: Arc::clone(metrics), bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.in_flight_bytes.dec_by(self.bytes);
    }
}

/// Says a word to the broker. lapin says `false` when the channel has gone and nothing was sent.
pub(crate) async fn acknowledge(ack: Ack<Receipt>) -> Result<(), SessionError> {
    let was_sent = match ack {
        Ack::UpTo(receipt) => receipt.acker.ack(BasicAckOptions { multiple: true }).await?,
        Ack::One(receipt) => receipt.acker.ack(BasicAckOptions { multiple: false }).await?,
    };
    if was_sent { Ok(()) } else { Err(SessionError::Broken("an acknowledgement could not be sent")) }
}
