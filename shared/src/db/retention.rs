//! What retention deletes or empties: one list, for the workers, who do it every hour, and for a person who asks what
//! they would do.
//!
//! Bodies of processed webhooks are not on it: they go by the day, a partition at a time
//! ([`webhook_payloads::drop_partitions`](super::webhook_payloads::drop_partitions)). Ledger and outbox keys are never
//! deleted.

use deadpool_postgres::Client;
use tokio_postgres::Error;

use super::{outbox, parked_webhooks, processed_webhooks, webhook_bodies, webhook_failures, webhook_search_keys};
use crate::config::RetentionConfig;

/// Rows deleted or emptied in one statement, so that no purge holds locks for long.
const PURGE_ROWS: i64 = 5_000;

/// What is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// Ids of processed webhooks, as long as the same id is not parked: deleted.
    Claims,
    /// Hashes of bodies, where ids are not signed: deleted.
    Bodies,
    /// The record of failed attempts: deleted.
    Failures,
    /// What processed webhooks are looked up by: deleted.
    SearchKeys,
    /// Webhooks that were resolved or discarded: emptied.
    ParkedContents,
    /// Effects that were sent or cancelled: emptied.
    SentIntents,
    /// The record of attempts to send that did not succeed: deleted.
    EffectAttempts,
}

impl Purge {
    /// All of them, in the order in which it is done.
    pub const ALL: [Self; 7] = [
        Self::Claims,
        Self::Bodies,
        Self::Failures,
        Self::SearchKeys,
        Self::ParkedContents,
        Self::SentIntents,
        Self::EffectAttempts,
    ];

    /// What is done, for a person.
    #[must_use]
    pub fn step(self) -> &'static str {
        match self {
            Self::Claims => "purge ids",
            Self::Bodies => "purge hashes of bodies",
            Self::Failures => "purge failures",
            Self::SearchKeys => "purge search keys",
            Self::ParkedContents => "empty webhooks that were resolved or discarded",
            Self::SentIntents => "empty effects that were sent or cancelled",
            Self::EffectAttempts => "purge attempts to send",
        }
    }

    /// The table whose rows they are.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Claims => "processed_webhooks",
            Self::Bodies => "webhook_bodies",
            Self::Failures => "webhook_failures",
            Self::SearchKeys => "webhook_search_keys",
            Self::ParkedContents => "parked_webhooks",
            Self::SentIntents => "outbox",
            Self::EffectAttempts => "outbox_attempts",
        }
    }

    /// For how many days it is kept.
    #[must_use]
    pub fn days(self, retention: &RetentionConfig) -> i32 {
        days(match self {
            Self::Claims | Self::Bodies => retention.processed_days,
            Self::Failures => retention.failure_days,
            Self::SearchKeys | Self::ParkedContents | Self::SentIntents | Self::EffectAttempts => {
                retention.payload_days
            }
        })
    }
}

/// A number of days as Postgres takes it.
#[must_use]
pub fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// How many rows are older than they are kept.
///
/// # Errors
/// When the statement fails.
pub async fn count(client: &Client, what: Purge, retention: &RetentionConfig) -> Result<i64, Error> {
    let (client, days) = (&***client, what.days(retention));
    match what {
        Purge::Claims => processed_webhooks::count_expired(client, days).await,
        Purge::Bodies => webhook_bodies::count_expired(client, days).await,
        Purge::Failures => webhook_failures::count_expired(client, days).await,
        Purge::SearchKeys => webhook_search_keys::count_expired(client, days).await,
        Purge::ParkedContents => parked_webhooks::purge::count_expired(client, days).await,
        Purge::SentIntents => outbox::purge::count_expired(client, days).await,
        Purge::EffectAttempts => outbox::attempts::count_expired(client, days).await,
    }
}

/// Deletes or empties some of the rows that are older than they are kept; returns how many, and 0 when there are none any
/// more that nobody else has in hand.
///
/// # Errors
/// When the statement fails.
pub async fn purge(client: &Client, what: Purge, retention: &RetentionConfig) -> Result<u64, Error> {
    let (client, days) = (&***client, what.days(retention));
    match what {
        Purge::Claims => processed_webhooks::purge(client, days, PURGE_ROWS).await,
        Purge::Bodies => webhook_bodies::purge(client, days, PURGE_ROWS).await,
        Purge::Failures => webhook_failures::purge(client, days, PURGE_ROWS).await,
        Purge::SearchKeys => webhook_search_keys::purge(client, days, PURGE_ROWS).await,
        Purge::ParkedContents => parked_webhooks::purge::purge(client, days, PURGE_ROWS).await,
        Purge::SentIntents => outbox::purge::purge(client, days, PURGE_ROWS).await,
        Purge::EffectAttempts => outbox::attempts::purge(client, days, PURGE_ROWS).await,
    }
}
