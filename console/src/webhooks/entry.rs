//! One webhook as a line of a list, wherever it is: processed, parked, or on the retry ladder.

use clap::ValueEnum;
use serde::Serialize;
use shared::db::outbox::rows::{OutboxRow, Show};
use shared::db::parked_webhooks::rows::{ParkState, ParkedRow};
use shared::db::processed_webhooks::search::FoundRow;
use shared::db::processed_webhooks::{Status, WebhookKey};
use shared::db::webhook_failures::ladder::RetryingRow;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Where a webhook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// At least one route took it.
    Completed,
    /// No route took it.
    Skipped,
    /// It waits for a person.
    Parked,
    /// A person has put it back on the queue.
    Redriving,
    /// A person has given it up.
    Discarded,
    /// It has failed and is tried again.
    Retrying,
}

/// One webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Entry {
    pub(crate) source: String,
    pub(crate) webhook_id: String,
    pub(crate) topic: String,
    pub(crate) status: Standing,
    /// When it came to where it is.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) received_at: Option<OffsetDateTime>,
    /// How often it arrived again.
    pub(crate) duplicates: i32,
    /// How many attempts had failed.
    pub(crate) failed_attempts: i32,
    /// For a replay: the first id.
    pub(crate) replay_of: Option<String>,
    /// How many of its mails and calls have failed or are held, and wait for a person.
    pub(crate) effects_waiting: i64,
}

impl Standing {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Parked => "parked",
            Self::Redriving => "redriving",
            Self::Discarded => "discarded",
            Self::Retrying => "retrying",
        }
    }

    /// Whether it was processed, by a route or by none.
    pub(crate) fn is_processed(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped)
    }

    /// The colour of its chip.
    pub(crate) fn tone(self) -> &'static str {
        match self {
            Self::Completed => "good",
            Self::Skipped | Self::Discarded => "",
            Self::Parked | Self::Redriving | Self::Retrying => "warn",
        }
    }
}

impl From<FoundRow> for Entry {
    fn from(row: FoundRow) -> Self {
        Self {
            source: row.key.source,
            webhook_id: row.key.webhook_id,
            topic: row.topic,
            status: match row.status {
                Status::Completed => Standing::Completed,
                Status::Skipped => Standing::Skipped,
            },
            at: row.processed_at,
            received_at: Some(row.received_at),
            duplicates: row.duplicates,
            failed_attempts: row.attempt,
            replay_of: row.replay.map(|(of, _run)| of),
            effects_waiting: 0,
        }
    }
}

impl Entry {
    /// What it is known by.
    pub(crate) fn key(&self) -> WebhookKey {
        WebhookKey { source: self.source.clone(), webhook_id: self.webhook_id.clone() }
    }

    /// Where it is, and whether something that it brought about needs a person.
    pub(crate) fn standing(&self) -> String {
        match self.effects_waiting {
            0 => self.status.as_str().to_owned(),
            waiting => format!("{}, not sent: {waiting}", self.status.as_str()),
        }
    }

    /// Counts which of these effects are its own and wait for a person.
    pub(crate) fn count_waiting(&mut self, effects: &[OutboxRow]) {
        let is_own = |row: &&OutboxRow| row.webhook_id.as_ref() == Some(&self.webhook_id);
        let waiting = effects.iter().filter(is_own).filter(|row| Show::Attention.takes(row)).count();
        self.effects_waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
    }

    /// Where it stands among others, by time; each has a place of its own.
    pub(crate) fn place(&self) -> (OffsetDateTime, &str, &str) {
        (self.at, &self.source, &self.webhook_id)
    }

    /// A parked webhook that was not processed; `None` for one that was.
    pub(crate) fn parked(row: ParkedRow) -> Option<Self> {
        let status = match row.state {
            ParkState::Parked => Standing::Parked,
            ParkState::Redriving => Standing::Redriving,
            ParkState::Discarded => Standing::Discarded,
            ParkState::Resolved => return None,
        };
        Some(Self {
            source: row.key.source,
            webhook_id: row.key.webhook_id,
            topic: row.topic,
            status,
            at: row.parked_at,
            received_at: Some(row.received_at),
            duplicates: 0,
            failed_attempts: row.attempts,
            replay_of: row.replay.map(|replay| replay.of),
            effects_waiting: 0,
        })
    }
}

impl From<RetryingRow> for Entry {
    fn from(row: RetryingRow) -> Self {
        Self {
            source: row.key.source,
            webhook_id: row.key.webhook_id,
            topic: row.topic.unwrap_or_default(),
            status: Standing::Retrying,
            at: row.last_failed_at,
            received_at: row.received_at,
            duplicates: 0,
            failed_attempts: row.attempts,
            replay_of: None,
            effects_waiting: 0,
        }
    }
}
