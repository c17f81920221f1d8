//! Replay defence: a body that was processed comes again under another id.
//!
//! Where a provider does not sign the id, whoever captured one webhook can send it again under a fresh id; the claim by id
//! does not notice. The claim by body does, per source and topic, in the transaction of the claims. Two subscriptions to
//! one topic look the same, so most sources are only told of it.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use shared::config::ReplayDefence;
use shared::db::processed_webhooks::{self, DuplicateCount, WebhookKey};
use shared::db::webhook_bodies::{self, BodyRow};
use shared::plan::Skip;
use tokio_postgres::Error;

use crate::batch::Planned;

/// What `skips` calls the defence.
const SKIPPED_BY: &str = "replay-defence";

/// Webhooks of a batch whose body was processed before, each with the id it was processed under.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    /// Processed all the same.
    pub(crate) flagged: HashMap<WebhookKey, String>,
    /// Not processed: duplicates of the other id.
    pub(crate) dropped: HashMap<WebhookKey, String>,
}

/// Records the bodies of what was claimed, and finds the replays among them. The claims of those that are dropped say so.
pub(crate) async fn find(transaction: &Transaction<'_>, ours: &[&Planned]) -> Result<Replays, Error> {
    let defended: Vec<&&Planned> = ours.iter().filter(|planned| planned.defence != ReplayDefence::Off).collect();
    let rows: Vec<BodyRow<'_>> = defended
        .iter()
        .map(|planned| BodyRow {
            key: &planned.key,
            topic: &planned.message.topic,
            body_sha256: &planned.message.body_sha256,
        })
        .collect();
    let known = webhook_bodies::record(transaction, &rows).await?;
    let mut replays = Replays::default();
    for planned in defended {
        let Some(first) = known.get(&planned.key) else { continue };
        let found = if planned.defence == ReplayDefence::Drop { &mut replays.dropped } else { &mut replays.flagged };
        found.insert(planned.key.clone(), first.clone());
    }
    record_dropped(transaction, &replays.dropped).await?;
    Ok(replays)
}

async fn record_dropped(transaction: &Transaction<'_>, dropped: &HashMap<WebhookKey, String>) -> Result<(), Error> {
    if dropped.is_empty() {
        return Ok(());
    }
    let skips: Vec<(&WebhookKey, Skip)> = dropped
        .iter()
        .map(|(key, first)| {
            let reason = format!("its body was processed as {first}");
            (key, Skip { by: SKIPPED_BY.to_owned(), reason })
        })
        .collect();
    processed_webhooks::skip(transaction, &skips).await
}

/// The duplicates that dropped replays are, of the webhooks that they repeat.
pub(crate) fn duplicate_counts(dropped: &HashMap<WebhookKey, String>) -> Vec<DuplicateCount> {
    let mut counts: BTreeMap<WebhookKey, i32> = BTreeMap::new();
    for (key, first) in dropped {
        *counts.entry(WebhookKey { source: key.source.clone(), webhook_id: first.clone() }).or_default() += 1;
    }
    counts.into_iter().map(|(key, duplicates)| DuplicateCount { key, duplicates, changed_bodies: 0 }).collect()
}
