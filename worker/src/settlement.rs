//! What happens to a webhook that was not processed: parked, or sent to the retry ladder.
//!
//! Both are written down before the consumer acts on them, so that a webhook that was answered
//! 2xx is always in a place where it is found.

use deadpool_postgres::{Client, Transaction};
use shared::config::{AmbiguousPolicy, OPERATOR_ALERT};
use shared::db::outbox::NewEffect;
use shared::db::parked_webhooks::{ParkReason, Settled};
use shared::db::processed_webhooks::{DuplicateCount, Hold, WebhookKey};
use shared::db::webhook_failures::FailureOutcome;
use shared::db::{outbox, parked_webhooks, processed_webhooks, storable, webhook_failures, webhook_search_keys};
use shared::message::{Message, Replay};
use shared::plan::{Letter, SearchKey};
use time::OffsetDateTime;
use tokio_postgres::Error;

use crate::batch::Outcome;

/// What became of a webhook that was to be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parked {
    /// It is in `parked_webhooks`.
    Parked,
    /// It was processed before: a duplicate that fails today is still a duplicate.
    Duplicate,
}

/// A webhook that was not processed.
#[derive(Clone, Copy)]
pub(crate) struct Failed<'m> {
    pub(crate) message: &'m Message,
    /// What it can be found by.
    pub(crate) keys: &'m [SearchKey],
}

/// Parks a webhook, records the failure, and writes the operator's mail, in one transaction. It holds
/// the webhook's key meanwhile: whoever claims it at the same time is waited for, or waits, and then
/// finds it parked and resolves it. So no webhook is both processed and parked. A body whose id has another one is parked
/// by itself.
pub(crate) async fn park(
    client: &mut Client,
    failed: Failed<'_>,
    reason: ParkReason,
    detail: &str,
    operator: Option<&str>,
) -> Result<Parked, Error> {
    let transaction = client.transaction().await?;
    let Some(Place { message, held }) = find_place(&transaction, failed.message, reason).await? else {
        transaction.commit().await?;
        return Ok(Parked::Duplicate);
    };
    let detail = storable(detail);
    webhook_search_keys::insert_failed(&transaction, &key(&message), failed.keys).await?;
    parked_webhooks::park(&transaction, &message, reason, &detail).await?;
    webhook_failures::record(&transaction, &message, FailureOutcome::Park, &detail).await?;
    if let Some(operator) = operator {
        alert(&transaction, &message, reason, &detail, operator).await?;
    }
    for key in &held {
        processed_webhooks::release(&transaction, key).await?;
    }
    transaction.commit().await?;
    Ok(Parked::Parked)
}

/// Where a webhook is parked.
struct Place {
    /// The webhook under the id of its row: its own, or that of another body.
    message: Message,
    /// Keys that are held meanwhile.
    held: Vec<WebhookKey>,
}

/// Holds the webhook's key, and that of its body where another one has its id. `None` when it was processed: then it is
/// counted as the duplicate it is.
async fn find_place(
    transaction: &Transaction<'_>,
    message: &Message,
    reason: ParkReason,
) -> Result<Option<Place>, Error> {
    let changed = reason == ParkReason::ChangedBody;
    let mut message = message.as_changed_body().filter(|_| changed).unwrap_or_else(|| message.clone());
    let mut held = Vec::new();
    loop {
        let key = key(&message);
        match processed_webhooks::hold(transaction, &key).await? {
            Hold::Held => held.push(key),
            // A replay with another body than its own cannot be, and is kept for a person if it is.
            Hold::Processed if changed && !message.replay().is_some_and(Replay::is_changed_body) => {}
            Hold::Processed => {
                settle_duplicate(transaction, key, &message).await?;
                for key in &held {
                    processed_webhooks::release(transaction, key).await?;
                }
                return Ok(None);
            }
        }
        let Some(other) = message.as_changed_body() else { return Ok(Some(Place { message, held })) };
        if !parked_webhooks::has_other_body(transaction, &message).await? {
            return Ok(Some(Place { message, held }));
        }
        message = other;
    }
}

/// Which parked rows a webhook settles by having been processed. A duplicate settles the row with its own body: another
/// body that came under its id still waits for a person. One whose id was processed with another body settles nothing,
/// unless a person sent it. A replay settles the first one's row, too, if that
/// was parked with the body which now ran.
pub(crate) fn settled_rows(message: &Message, outcome: Outcome) -> impl Iterator<Item = Settled<'_>> {
    let (source, webhook_id) = (message.source.as_str(), message.id.as_str());
    let this_body = Some(message.body_sha256.as_slice());
    let own = match outcome {
        Outcome::Duplicate { changed_body: true } if message.steering.is_none() => None,
        Outcome::Duplicate { .. } => Some(Settled { source, webhook_id, only_body: this_body }),
        Outcome::Completed | Outcome::Skipped | Outcome::Replay => {
            Some(Settled { source, webhook_id, only_body: None })
        }
    };
    let first = message.replay().map(|replay| Settled { source, webhook_id: &replay.of, only_body: this_body });
    own.into_iter().chain(first)
}

async fn settle_duplicate(transaction: &Transaction<'_>, key: WebhookKey, message: &Message) -> Result<(), Error> {
    let hashes = processed_webhooks::find_hashes(transaction, &[&key]).await?;
    let changed_body = hashes.get(&key).is_some_and(|hash| hash.as_slice() != message.body_sha256);
    let count = DuplicateCount { key, duplicates: 1, changed_bodies: i32::from(changed_body) };
    processed_webhooks::count_duplicates(transaction, &[count]).await?;
    let settled: Vec<_> = settled_rows(message, Outcome::Duplicate { changed_body }).collect();
    parked_webhooks::resolve(transaction, &settled).await?;
    Ok(())
}

/// Resolves a body that was parked, if it was, since its webhooks are on their way at last; and it is on the retry ladder
/// no more, which a claim would tell of a webhook.
pub(crate) async fn resolve(client: &mut Client, message: &Message) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let row = Settled { source: message.source.as_str(), webhook_id: &message.id, only_body: None };
    parked_webhooks::resolve(&transaction, &[row]).await?;
    webhook_failures::forget_retries(&transaction, message.source.as_str(), &message.id).await?;
    transaction.commit().await
}

/// Records that a webhook goes to the retry ladder, and what it can be found by there. A replay has no keys on the ladder:
/// whoever looks for an order finds the webhook that it is a replay of. It has some once it is parked, where it needs a
/// person.
pub(crate) async fn record_retry(client: &mut Client, failed: Failed<'_>, error: &str) -> Result<(), Error> {
    let message = failed.message;
    let transaction = client.transaction().await?;
    if message.replay().is_none() {
        webhook_search_keys::insert_failed(&transaction, &key(message), failed.keys).await?;
    }
    webhook_failures::record(&transaction, message, FailureOutcome::Retry, &storable(error)).await?;
    transaction.commit().await
}

/// The operator's mail, at most one per reason and clock hour (UTC), by the outbox's own key.
async fn alert(
    transaction: &Transaction<'_>,
    message: &Message,
    reason: ParkReason,
    detail: &str,
    operator: &str,
) -> Result<(), Error> {
    let now = OffsetDateTime::now_utc();
    let hour = format!("{}T{:02}", now.date(), now.hour());
    let letter = Letter {
        to: operator.to_owned(),
        subject: format!("Oncehook parked a webhook: {reason}"),
        text: format!(
            "A webhook could not be processed and is parked.\n\n\
             Reason:  {reason}\n\
             Detail:  {detail}\n\
             Source:  {}\n\
             Topic:   {}\n\
             Webhook: {}\n\n\
             Nothing of it took effect, and nothing is lost. Look at it and, when the cause is mended, put it back:\n\n\
             \x20   oncehook parked show SOURCE WEBHOOK\n\
             \x20   oncehook parked redrive SOURCE WEBHOOK\n\n\
             More may be parked for this reason; this mail comes once per reason and hour.\n",
            message.source, message.topic, message.id,
        ),
    };
    let effect = NewEffect {
        dedupe_key: format!("{OPERATOR_ALERT}/{reason}/{hour}"),
        effect: OPERATOR_ALERT.to_owned(),
        kind: "email",
        source: Some(message.source.to_string()),
        webhook_id: Some(message.id.clone()),
        intent: letter.to_json(),
        on_ambiguous: AmbiguousPolicy::Resend,
        traceparent: message.trace_context().map(str::to_owned),
    };
    outbox::insert(transaction, &[effect]).await?;
    Ok(())
}

/// What a webhook is claimed by.
pub(crate) fn key(message: &Message) -> WebhookKey {
    WebhookKey { source: message.source.to_string(), webhook_id: message.id.clone() }
}
