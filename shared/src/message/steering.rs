//! What a person wants with a webhook that was here before: a redrive (it was parked), or a replay (it was
//! processed, and is to run again on purpose).
//!
//! Only `oncehook` makes these. A provider cannot: its HTTP headers travel in a table of their own, and the spool
//! has no place for them. A replay is claimed under an id of its own, made from the first one's id and the name of
//! the run, so that a second copy of it is a duplicate like any other.
//!
//! Invariant: no id made here is one that a provider can send. Providers' ids are printable ASCII (ingest answers
//! anything else 400), and a replay's begins with [`REPLAY_MARK`], which is not. The envelope and the table's CHECK
//! accept such an id only together with what it was made from.

use time::OffsetDateTime;

use super::sha256;
use crate::name::Name;

/// What every replay's id begins with, and every idempotency key that a replay made anew.
pub const REPLAY_MARK: char = '↻';

/// What the runs of changed bodies begin with; a person's runs do not.
pub const CHANGED_BODY_RUN: &str = "changed-";

/// Hexadecimal digits of a body's SHA-256 that name its run.
const CHANGED_BODY_DIGITS: usize = 40;

/// The longest id, in bytes: an AMQP short string, and the table's CHECK.
const MAX_ID_BYTES: usize = 255;

/// Who put a message on the queue, if not a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// When a person sent it. Its age counts from here: what happened to its id until then is known.
    pub at: OffsetDateTime,
    /// `None`: a parked webhook that was redriven.
    pub replay: Option<Replay>,
}

/// A processed webhook that runs again on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The id under which it was processed first.
    pub of: String,
    /// What the person called the run: one webhook runs once in each.
    pub run: Name,
    /// What happens to effects that have left the database.
    pub mode: ReplayMode,
}

/// What a replay does with effects that went out before. Stock is never taken twice, whatever is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayMode {
    /// Idempotency keys stay: only what is missing goes out.
    FillIn,
    /// Keys of its own: all of it goes out again, once in a run.
    Resend,
}

impl Replay {
    /// As what a body runs that came under an id with another one: as a replay of that id, in a run that is named after
    /// the body. So each is parked by itself, and runs once, however often it comes. `None` when that is no SHA-256 in
    /// hex.
    #[must_use]
    pub fn of_changed_body(of: &str, body_sha256: &str) -> Option<Self> {
        let digits = body_sha256.get(..CHANGED_BODY_DIGITS)?;
        let run = Name::try_from(format!("{CHANGED_BODY_RUN}{digits}")).ok()?;
        Some(Self { of: of.to_owned(), run, mode: ReplayMode::FillIn })
    }

    /// Whether it runs another body than the one that its webhook was known by.
    #[must_use]
    pub fn is_changed_body(&self) -> bool {
        self.run.as_str().starts_with(CHANGED_BODY_RUN)
    }

    /// The id that the replay is claimed under: at most 255 bytes, the same each time it is made. A first id that
    /// is too long to stand in it is hashed.
    #[must_use]
    pub fn id(&self) -> String {
        let (of, run) = (&self.of, &self.run);
        let readable = format!("{REPLAY_MARK}{run}:{of}");
        if readable.len() <= MAX_ID_BYTES {
            return readable;
        }
        format!("{REPLAY_MARK}{run}#{}", hex::encode(sha256(of.as_bytes())))
    }

    /// The idempotency key of an effect that the webhook plans under `key`.
    #[must_use]
    pub fn dedupe_key(&self, key: &str) -> String {
        match self.mode {
            ReplayMode::FillIn => key.to_owned(),
            // Ordinary keys begin with an effect's name, and so never with the mark.
            ReplayMode::Resend => format!("{REPLAY_MARK}{}/{key}", self.run),
        }
    }
}

impl ReplayMode {
    /// As headers and columns say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FillIn => "fill-in",
            Self::Resend => "resend",
        }
    }

    /// Back from [`Self::as_str`].
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::FillIn, Self::Resend].into_iter().find(|mode| mode.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn replay(of: &str, run: &str) -> Replay {
        Replay { of: of.to_owned(), run: Name::try_from(run).unwrap(), mode: ReplayMode::FillIn }
    }

    proptest! {
        /// Any two first ids, the longest too, and any two runs: as many replay ids, none a provider's.
        #[test]
        fn every_replay_has_an_id_of_its_own(
            ids in proptest::collection::btree_set("[ -~]{1,255}", 1..6),
            runs in proptest::collection::btree_set("[a-z][a-z0-9-]{0,63}", 1..4),
        ) {
            let made: BTreeSet<String> =
                ids.iter().flat_map(|id| runs.iter().map(|run| replay(id, run).id())).collect();
            prop_assert_eq!(made.len(), ids.len() * runs.len());
            for id in &made {
                prop_assert!(id.len() <= MAX_ID_BYTES && id.starts_with(REPLAY_MARK) && !ids.contains(id));
            }
        }
    }

    #[test]
    fn ids_and_keys_are_those_of_the_run() {
        let mut replay = replay("w1", "mended-map");
        assert_eq!(replay.id(), "↻mended-map:w1");
        assert_eq!(replay.dedupe_key("order-confirmation/shopify/7"), "order-confirmation/shopify/7");
        replay.mode = ReplayMode::Resend;
        assert_eq!(replay.dedupe_key("order-confirmation/shopify/7"), "↻mended-map/order-confirmation/shopify/7");
        let long = "x".repeat(255);
        replay.of.clone_from(&long);
        assert_eq!(replay.id(), format!("↻mended-map#{}", hex::encode(sha256(long.as_bytes()))));
    }
}
