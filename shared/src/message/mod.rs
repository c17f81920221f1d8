//! The message on the queue: one webhook between ingest and worker.
//!
//! The AMQP body is the provider's body, byte for byte; everything else is in properties and
//! headers ([`envelope`]). Invariant: whatever is written is read back the same, and a version this build does not know
//! is an error with the body intact, never a guess.

mod envelope;
mod properties;
mod steering;
mod version_1;

use bytes::Bytes;
use time::OffsetDateTime;

pub use self::envelope::{DecodeError, EncodeError, decode, encode, salvage};
pub use self::properties::delivery_count;
pub use self::steering::{CHANGED_BODY_RUN, REPLAY_MARK, Replay, ReplayMode, Steering};
use crate::name::Name;
use crate::trace_context::{is_well_formed, trace_id};
pub use webhook::hash::sha256;

/// The version of the envelope that this build writes. It reads the one before, too.
pub const VERSION: i64 = 2;

/// One webhook on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The configured sender.
    pub source: Name,
    /// The provider's name, such as `shopify`.
    pub provider: Name,
    /// The provider's id of the webhook: what duplicates share. 1 to 255 bytes. A replay has one of its own.
    pub id: String,
    /// The topic, as the provider names it.
    pub topic: String,
    /// When ingest had received it.
    pub received_at: OffsetDateTime,
    /// The body's media type, as the provider gave it.
    pub content_type: Option<String>,
    /// The provider's headers worth keeping, names in lower case.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
    /// How often processing was tried before and failed; 0 for a fresh webhook.
    pub attempt: u32,
    /// The W3C trace context that the webhook came with or was given.
    pub traceparent: Option<String>,
    /// What a person wants with it; `None` for what a provider sent.
    pub steering: Option<Steering>,
    /// The provider's body, byte for byte.
    pub body: Bytes,
}

impl Message {
    /// Since when it is on its way: its receipt, or the moment a person sent it again.
    #[must_use]
    pub fn under_way_since(&self) -> OffsetDateTime {
        self.steering.as_ref().map_or(self.received_at, |steering| steering.at)
    }

    /// The id of its trace: the 32 hexadecimal digits within [`Self::traceparent`], if they are there.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.traceparent.as_deref()?)
    }

    /// Its W3C trace context, if it is well-formed: a foreign message may carry anything there.
    #[must_use]
    pub fn trace_context(&self) -> Option<&str> {
        self.traceparent.as_deref().filter(|traceparent| is_well_formed(traceparent))
    }

    /// The replay that it is, if it is one.
    #[must_use]
    pub fn replay(&self) -> Option<&Replay> {
        self.steering.as_ref().and_then(|steering| steering.replay.as_ref())
    }

    /// The same webhook as another body of its id, under an id of its own: see [`Replay::of_changed_body`]. `None` for
    /// what is a replay already.
    #[must_use]
    pub fn as_changed_body(&self) -> Option<Self> {
        if self.replay().is_some() {
            return None;
        }
        let replay = Replay::of_changed_body(&self.id, &hex::encode(self.body_sha256))?;
        let steering = Some(Steering { at: self.under_way_since(), replay: Some(replay.clone()) });
        Some(Self { id: replay.id(), steering, ..self.clone() })
    }
}
