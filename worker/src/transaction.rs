//! One transaction for a batch: claim, apply, write the outbox, store the payloads, COMMIT.
//!
//! Every table is touched in the same order by every worker, and within a table in key order, so
//! transactions wait for each other and never in a circle. Nothing but Postgres is called here.

use std::collections::{BTreeMap, HashMap, HashSet};

use deadpool_postgres::{Client, Transaction};
use shared::config::UnknownSku;
use shared::db::inventory_ledger::{RecordedSale, Sale, SaleKey};
use shared::db::outbox::NewEffect;
use shared::db::processed_webhooks::{ClaimRow, DuplicateCount, Status, WebhookKey};
use shared::db::{
    Failure, classify, inventory, inventory_ledger, outbox, parked_webhooks, processed_webhooks, webhook_payloads,
    webhook_search_keys,
};
use shared::failpoint;
use shared::name::Name;
use shared::plan::{Decrement, Skip};

use crate::batch::{Outcome, Planned};
use crate::replays::{self, Replays};
use crate::settlement;

/// Why a batch was not committed, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// A value in it is at fault.
    #[error("the database refuses a value")]
    Data(#[source] tokio_postgres::Error),
    /// A SKU that `inventory` does not have.
    #[error("inventory has no SKU {0:?}")]
    UnknownSku(String),
    /// The database or the connection; the COMMIT may have gone through, which the claim will tell.
    #[error("the database is away or busy")]
    Database(#[source] tokio_postgres::Error),
    /// The batch took longer than `statement_timeout`: too much at once, or a slow database.
    #[error("the database took too long")]
    TooSlow(#[source] tokio_postgres::Error),
    /// Today has no payload partition.
    #[error("today has no partition of webhook_payloads")]
    NoPartition,
    /// Something else that a webhook in the batch brings about.
    #[error("the batch failed")]
    Unknown(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for ApplyError {
    fn from(error: tokio_postgres::Error) -> Self {
        match classify(&error) {
            Failure::Data => Self::Data(error),
            Failure::Database => Self::Database(error),
            Failure::TooSlow => Self::TooSlow(error),
            Failure::NoPartition => Self::NoPartition,
            Failure::Unknown => Self::Unknown(error),
        }
    }
}

/// What a committed batch did.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// In the order of the batch.
    pub(crate) outcomes: Vec<Outcome>,
    /// New rows in the outbox.
    pub(crate) new_effects: u64,
    /// Sales that were recorded before with another SKU or quantity.
    pub(crate) conflicting_sales: u64,
    /// Known bodies under fresh ids.
    pub(crate) replays: Replays,
    /// Parked webhooks that were processed after all.
    pub(crate) resolved: u64,
}

/// Applies a batch. Each key may occur more than once; the first is claimed.
///
/// # Errors
/// When nothing was committed; [`ApplyError::Database`] also when that is not known.
pub(crate) async fn apply(client: &mut Client, batch: &[Planned]) -> Result<Applied, ApplyError> {
    let transaction = client.transaction().await?;
    let unknown = skippable_skus(&transaction, batch).await?;
    let firsts = firsts(batch);
    failpoint::reach("worker.before-claim");
    let claimed = claim(&transaction, &firsts, &unknown).await?;
    failpoint::reach("worker.after-claim");
    let ours: Vec<&Planned> = firsts.iter().copied().filter(|planned| claimed.contains(&planned.key)).collect();
    let replays = replays::find(&transaction, &ours).await?;
    let outcomes = outcomes(&transaction, batch, &ours, &replays).await?;
    let mut applied = Applied { outcomes, ..Applied::default() };
    if !ours.is_empty() {
        let fresh: Vec<&Planned> =
            ours.iter().copied().filter(|planned| !replays.dropped.contains_key(&planned.key)).collect();
        applied.conflicting_sales = decrement(&transaction, &fresh, &unknown).await?;
        applied.new_effects = plan_out(&transaction, &fresh).await?;
        let payloads: Vec<_> = ours.iter().map(|planned| (&planned.key, &planned.message)).collect();
        webhook_payloads::insert(&transaction, &payloads).await?;
        keep_search_keys(&transaction, &ours).await?;
    }
    let settled = batch.iter().zip(&applied.outcomes);
    let settled: Vec<_> =
        settled.flat_map(|(planned, outcome)| settlement::settled_rows(&planned.message, *outcome)).collect();
    applied.resolved = parked_webhooks::resolve(&transaction, &settled).await?;
    applied.replays = replays;
    failpoint::reach("worker.before-commit");
    transaction.commit().await?;
    failpoint::reach("worker.after-commit");
    Ok(applied)
}

/// SKUs that are not in `inventory` and whose effect says to skip them.
async fn skippable_skus(transaction: &Transaction<'_>, batch: &[Planned]) -> Result<HashSet<String>, ApplyError> {
    let decrements = batch.iter().flat_map(|planned| &planned.plan.decrements);
    let skippable: HashSet<&str> = decrements
        .filter(|decrement| decrement.unknown_sku == UnknownSku::Skip)
        .map(|decrement| decrement.sku.as_str())
        .collect();
    if skippable.is_empty() {
        return Ok(HashSet::new());
    }
    let skus: Vec<&str> = skippable.iter().copied().collect();
    let existing = inventory::existing(transaction, &skus).await?;
    Ok(skippable.into_iter().filter(|sku| !existing.contains(*sku)).map(str::to_owned).collect())
}

/// The first of each key, in the order of the batch.
fn firsts(batch: &[Planned]) -> Vec<&Planned> {
    let mut seen = HashSet::new();
    batch.iter().filter(|planned| seen.insert(&planned.key)).collect()
}

async fn claim(
    transaction: &Transaction<'_>,
    firsts: &[&Planned],
    unknown: &HashSet<String>,
) -> Result<HashSet<WebhookKey>, ApplyError> {
    let skips: Vec<Vec<Skip>> = firsts.iter().map(|planned| skips(planned, unknown)).collect();
    let rows: Vec<ClaimRow<'_>> = firsts
        .iter()
        .zip(&skips)
        .map(|(planned, skips)| ClaimRow {
            key: &planned.key,
            topic: &planned.message.topic,
            body_sha256: &planned.message.body_sha256,
            status: if planned.plan.routed { Status::Completed } else { Status::Skipped },
            received_at: planned.message.received_at,
            attempt: i32::try_from(planned.message.attempt).unwrap_or(i32::MAX),
            skips,
            replay: planned.message.replay(),
        })
        .collect();
    Ok(processed_webhooks::claim(transaction, &rows).await?)
}

/// Another effect of the same batch may want the same unknown SKU to park.
fn is_skipped(decrement: &Decrement, unknown: &HashSet<String>) -> bool {
    decrement.unknown_sku == UnknownSku::Skip && unknown.contains(&decrement.sku)
}

/// What the plan left out, and the lines whose SKU is not kept here.
fn skips(planned: &Planned, unknown: &HashSet<String>) -> Vec<Skip> {
    let lines = planned.plan.decrements.iter().filter(|decrement| is_skipped(decrement, unknown));
    let lines = lines.map(|decrement| Skip {
        by: decrement.effect.to_string(),
        reason: format!("line {}: inventory has no SKU {:?}", decrement.line, decrement.sku),
    });
    planned.plan.skips.iter().cloned().chain(lines).collect()
}

/// Tells claims from duplicates, and counts the duplicates with the row they repeat.
async fn outcomes(
    transaction: &Transaction<'_>,
    batch: &[Planned],
    ours: &[&Planned],
    replays: &Replays,
) -> Result<Vec<Outcome>, ApplyError> {
    let claims: HashMap<&WebhookKey, &Planned> = ours.iter().map(|planned| (&planned.key, *planned)).collect();
    let is_claim = |planned: &Planned| claims.get(&planned.key).is_some_and(|claim| std::ptr::eq(*claim, planned));
    let repeats: Vec<&Planned> = batch.iter().filter(|planned| !is_claim(planned)).collect();
    let mut hashes = HashMap::new();
    let mut counts = replays::duplicate_counts(&replays.dropped);
    if !repeats.is_empty() {
        let keys: HashSet<&WebhookKey> = repeats.iter().map(|planned| &planned.key).collect();
        let keys: Vec<&WebhookKey> = keys.into_iter().collect();
        hashes = processed_webhooks::find_hashes(transaction, &keys).await?;
        counts.extend(duplicate_counts(&repeats, &hashes));
    }
    if !counts.is_empty() {
        processed_webhooks::count_duplicates(transaction, &merged(counts)).await?;
    }
    let outcome = |planned: &Planned| {
        if !is_claim(planned) {
            return Outcome::Duplicate { changed_body: changed_body(planned, &hashes) };
        }
        if replays.dropped.contains_key(&planned.key) {
            return Outcome::Replay;
        }
        if planned.plan.routed { Outcome::Completed } else { Outcome::Skipped }
    };
    Ok(batch.iter().map(outcome).collect())
}

/// One count a webhook.
fn merged(counts: Vec<DuplicateCount>) -> Vec<DuplicateCount> {
    let mut merged: BTreeMap<WebhookKey, (i32, i32)> = BTreeMap::new();
    for count in counts {
        let (duplicates, changed) = merged.entry(count.key).or_default();
        *duplicates += count.duplicates;
        *changed += count.changed_bodies;
    }
    let count = |(key, (duplicates, changed_bodies))| DuplicateCount { key, duplicates, changed_bodies };
    merged.into_iter().map(count).collect()
}

fn changed_body(planned: &Planned, hashes: &HashMap<WebhookKey, Vec<u8>>) -> bool {
    hashes.get(&planned.key).is_some_and(|hash| hash.as_slice() != planned.message.body_sha256)
}

fn duplicate_counts(repeats: &[&Planned], hashes: &HashMap<WebhookKey, Vec<u8>>) -> Vec<DuplicateCount> {
    let mut counts: BTreeMap<&WebhookKey, (i32, i32)> = BTreeMap::new();
    for planned in repeats {
        let (duplicates, changed) = counts.entry(&planned.key).or_default();
        *duplicates += 1;
        *changed += i32::from(changed_body(planned, hashes));
    }
    counts
        .into_iter()
        .map(|(key, (duplicates, changed_bodies))| DuplicateCount { key: key.clone(), duplicates, changed_bodies })
        .collect()
}

/// Records the sales that are new and takes just those out of stock. Returns how many were
/// recorded before as something else.
async fn decrement(
    transaction: &Transaction<'_>,
    ours: &[&Planned],
    unknown: &HashSet<String>,
) -> Result<u64, ApplyError> {
    let sales = sales(ours, unknown);
    if sales.is_empty() {
        return Ok(0);
    }
    let recorded = inventory_ledger::record_sales(transaction, &sales).await?;
    let mut changes: BTreeMap<String, i64> = BTreeMap::new();
    for sale in &recorded {
        *changes.entry(sale.sku.clone()).or_default() += sale.delta;
    }
    if !changes.is_empty() {
        let skus: Vec<&str> = changes.keys().map(String::as_str).collect();
        let locked = inventory::lock(transaction, &skus).await?;
        if let Some(missing) = skus.into_iter().find(|sku| !locked.contains(*sku)) {
            return Err(ApplyError::UnknownSku(missing.to_owned()));
        }
        inventory::add(transaction, &changes).await?;
    }
    conflicting_sales(transaction, ours, &sales, recorded).await
}

fn sales(ours: &[&Planned], unknown: &HashSet<String>) -> Vec<Sale> {
    let mut sales = Vec::new();
    for planned in ours {
        for decrement in planned.plan.decrements.iter().filter(|decrement| !is_skipped(decrement, unknown)) {
            sales.push(Sale {
                key: SaleKey {
                    source: planned.key.source.clone(),
                    order_id: decrement.order.clone(),
                    line_id: decrement.line.clone(),
                },
                sku: decrement.sku.clone(),
                delta: -decrement.quantity,
                webhook_id: planned.key.webhook_id.clone(),
            });
        }
    }
    sales
}

/// Sales whose key is in the ledger with another SKU or quantity: the first one counts, and a
/// person should know.
async fn conflicting_sales(
    transaction: &Transaction<'_>,
    ours: &[&Planned],
    sales: &[Sale],
    recorded: Vec<RecordedSale>,
) -> Result<u64, ApplyError> {
    let mut known: HashMap<SaleKey, (String, i64)> = HashMap::with_capacity(recorded.len());
    known.extend(recorded.into_iter().map(|sale| (sale.key, (sale.sku, sale.delta))));
    let earlier: Vec<&SaleKey> = sales.iter().map(|sale| &sale.key).filter(|key| !known.contains_key(*key)).collect();
    if !earlier.is_empty() {
        let found = inventory_ledger::find_sales(transaction, &earlier).await?;
        known.extend(found.into_iter().map(|sale| (sale.key, (sale.sku, sale.delta))));
    }
    let differs =
        |sale: &&Sale| known.get(&sale.key).is_some_and(|(sku, delta)| *sku != sale.sku || *delta != sale.delta);
    let conflicting: Vec<&Sale> = sales.iter().filter(differs).collect();
    for sale in &conflicting {
        let same =
            |planned: &&&Planned| planned.key.source == sale.key.source && planned.key.webhook_id == sale.webhook_id;
        let planned = ours.iter().find(same);
        tracing::warn!(
            webhook.source = sale.key.source,
            webhook.id = sale.webhook_id,
            trace_id = planned.and_then(|planned| planned.message.trace_id()),
            order = sale.key.order_id,
            line = sale.key.line_id,
            "the line was recorded before with another SKU or quantity; the first one counts"
        );
    }
    Ok(u64::try_from(conflicting.len()).unwrap_or(u64::MAX))
}

async fn plan_out(transaction: &Transaction<'_>, ours: &[&Planned]) -> Result<u64, ApplyError> {
    let mut effects = Vec::new();
    for planned in ours {
        let new = |key: &str, effect: &Name, kind, intent, on_ambiguous| NewEffect {
            dedupe_key: dedupe_key(planned, key),
            effect: effect.to_string(),
            kind,
            source: Some(planned.key.source.clone()),
            webhook_id: Some(planned.key.webhook_id.clone()),
            intent,
            on_ambiguous,
            traceparent: planned.message.trace_context().map(str::to_owned),
        };
        effects.extend(
            planned.plan.emails.iter().map(|email| {
                new(&email.dedupe_key, &email.effect, "email", email.letter.to_json(), email.on_ambiguous)
            }),
        );
        effects.extend(
            planned
                .plan
                .calls
                .iter()
                .map(|call| new(&call.dedupe_key, &call.effect, "http", call.body.to_json(), call.on_ambiguous)),
        );
    }
    if effects.is_empty() {
        return Ok(0);
    }
    Ok(outbox::insert(transaction, &effects).await?)
}

/// Writes down what the webhooks can be found by. Ids of replays are left out: what is looked for is the first.
async fn keep_search_keys(transaction: &Transaction<'_>, ours: &[&Planned]) -> Result<(), ApplyError> {
    let firsts = ours.iter().filter(|planned| planned.message.replay().is_none());
    let keys = firsts.flat_map(|planned| planned.plan.search_keys.iter().map(|key| (&planned.key, key)));
    let keys: Vec<_> = keys.collect();
    if !keys.is_empty() {
        webhook_search_keys::insert(transaction, &keys).await?;
    }
    Ok(())
}

/// A replay may have been told to let its effects go out again.
fn dedupe_key(planned: &Planned, key: &str) -> String {
    planned.message.replay().map_or_else(|| key.to_owned(), |replay| replay.dedupe_key(key))
}
