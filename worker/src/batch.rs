//! What flows through the pipeline: arrivals in, verdicts out. No AMQP types.

use std::time::Duration;

use shared::config::ReplayDefence;
use shared::db::parked_webhooks::ParkReason;
use shared::db::processed_webhooks::WebhookKey;
use shared::message::{DecodeError, Message};
use shared::plan::Plan;

/// One message as it came from a queue.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The webhook; salvaged where it could not be read.
    pub(crate) message: Message,
    /// Why it cannot be processed as it is.
    pub(crate) defect: Option<Defect>,
}

/// What is wrong with a message before anything was tried.
#[derive(Debug)]
pub(crate) enum Defect {
    /// Its envelope cannot be read.
    Unreadable(DecodeError),
    /// The broker gave it up after too many deliveries.
    DeadLettered,
}

/// A webhook with its plan, ready for the transaction.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Its position among the arrivals.
    pub(crate) position: usize,
    /// What it is claimed by.
    pub(crate) key: WebhookKey,
    /// The webhook.
    pub(crate) message: Message,
    /// What it wants done.
    pub(crate) plan: Plan,
    /// What to do if its body was processed under another id.
    pub(crate) defence: ReplayDefence,
}

/// How a webhook left the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its effects were applied.
    Completed,
    /// No route took it; the claim says so.
    Skipped,
    /// Its body was processed under another id, and its source says to drop such.
    Replay,
    /// It was processed before.
    Duplicate {
        /// Whether this one has another body than the one that was processed.
        changed_body: bool,
    },
}

impl Outcome {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Completed,
        Self::Skipped,
        Self::Replay,
        Self::Duplicate { changed_body: false },
        Self::Duplicate { changed_body: true },
    ];

    /// As logs and metrics say it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Replay => "replay",
            Self::Duplicate { changed_body: false } => "duplicate",
            Self::Duplicate { changed_body: true } => "duplicate-changed-body",
        }
    }
}

/// Why a webhook was not processed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It will never succeed as things are.
    Park(ParkReason, String),
    /// It may succeed later.
    Retry(String),
}

/// What the consumer does with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is settled in the database: acknowledge.
    Ack,
    /// Publish it to the retry ladder with one more failed attempt, then acknowledge.
    Retry(Duration),
    /// Publish these webhooks, which it holds, to the work queue, then acknowledge.
    Scatter(Vec<Message>),
}
