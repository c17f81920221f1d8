//! How much a dispatcher has in hand: so many sends at once, and as many again that have ended and are being settled.
//!
//! A send gives its place to the next one when it ends and not when it is settled: what waits for the database holds up no
//! mail. The second bound is what a worker that is killed can leave behind, to be listed as ambiguous.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a dispatcher.
pub(super) struct Places {
    sending: Arc<Semaphore>,
    in_hand: Arc<Semaphore>,
}

/// A place for one row, from its lease on.
pub(super) struct Place {
    sending: OwnedSemaphorePermit,
    in_hand: InHand,
}

/// What is left of a place once its send has ended, until it is settled.
type InHand = OwnedSemaphorePermit;

impl Places {
    /// For so many sends at once.
    pub(super) fn new(concurrency: usize) -> Self {
        Self { sending: Arc::new(Semaphore::new(concurrency)), in_hand: Arc::new(Semaphore::new(2 * concurrency)) }
    }

    /// Waits for a place.
    pub(super) async fn wait_for_one(&self) -> Option<Place> {
        let in_hand = Arc::clone(&self.in_hand).acquire_owned().await.ok()?;
        Some(Place { sending: Arc::clone(&self.sending).acquire_owned().await.ok()?, in_hand })
    }

    /// Another one, if it is free.
    pub(super) fn another(&self) -> Option<Place> {
        let in_hand = Arc::clone(&self.in_hand).try_acquire_owned().ok()?;
        Some(Place { sending: Arc::clone(&self.sending).try_acquire_owned().ok()?, in_hand })
    }
}

impl Place {
    /// The send has ended.
    pub(super) fn sent(self) -> InHand {
        drop(self.sending);
        self.in_hand
    }
}
