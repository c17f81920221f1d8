//! The checker: what was answered 2xx against what took effect, in the manner of Jepsen's total queue.
//!
//! Pure. Accepted webhooks that are neither processed nor parked are *lost*; an effect that happened more often than
//! its business key allows is *doubled*; what is neither sent nor accepted is *invented*. Webhooks without a 2xx may
//! have taken effect or not: the provider sends those again, and by the end of a run none should be left.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::{Books, OutboxRow};
use crate::faults::{Destroyed, Doubts};
use crate::history::History;
use crate::mail::Arrived;
use crate::shop::Order;

/// Everything that is known at the end of a run.
pub(crate) struct Evidence<'r> {
    pub(crate) history: &'r History,
    pub(crate) books: &'r Books,
    /// Mails by address, calls by order.
    pub(crate) mails: &'r Arrived,
    pub(crate) calls: &'r Arrived,
    /// Messages left in queues, files left in spools: where, and how many.
    pub(crate) residue: &'r BTreeMap<String, u64>,
    /// What the fault destroyed on purpose.
    pub(crate) destroyed: Option<Destroyed>,
    /// Beginnings of the ids that may be parked.
    pub(crate) may_park: &'r [&'static str],
    pub(crate) doubts: Doubts,
}

/// What the checker found. Lists hold ids, order ids or keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Accepted and nowhere.
    pub(crate) lost: Vec<String>,
    /// Accepted, and lost with the queue that the fault destroyed.
    pub(crate) destroyed: Vec<String>,
    /// Processed, and their bodies are not kept as they were sent.
    pub(crate) altered: Vec<String>,
    /// Processed and yet waiting for a person.
    pub(crate) processed_and_parked: Vec<String>,
    /// Sends in doubt (ambiguous, held or failed) of which the flaky service is not the cause.
    pub(crate) in_doubt: Vec<String>,
    /// The same, where there are more than the fault explains.
    pub(crate) too_many_in_doubt: Vec<String>,
    /// Lines that were taken out of stock more than once, or otherwise than ordered; mails and calls that came more
    /// than once.
    pub(crate) doubled: Vec<String>,
    /// Effects of something that was never sent.
    pub(crate) invented: Vec<String>,
    /// Processed orders without their lines in the ledger, without their mail or their call.
    pub(crate) missing: Vec<String>,
    /// Webhooks that were parked and had no reason to be.
    pub(crate) parked_without_reason: Vec<String>,
    /// Sent and never accepted, although the provider tried until the end.
    pub(crate) never_accepted: Vec<String>,
    /// SKUs whose stock is not what the model says.
    pub(crate) stock_off: Vec<String>,
    /// What was left behind.
    pub(crate) residue: Vec<String>,
    /// Copies of mails and calls beyond the first, all of them among the rows listed as ambiguous.
    pub(crate) ambiguous_mails: u64,
    pub(crate) ambiguous_calls: u64,
}

impl Findings {
    /// Whether every invariant holds.
    pub(crate) fn is_right(&self) -> bool {
        let Self { lost, doubled, invented, missing, parked_without_reason, never_accepted, stock_off, .. } = self;
        let Self { altered, processed_and_parked, too_many_in_doubt, residue, .. } = self;
        let webhooks = [lost, invented, altered, parked_without_reason, processed_and_parked, never_accepted];
        let effects = [doubled, missing, stock_off, too_many_in_doubt, residue];
        webhooks.iter().chain(&effects).all(|list| list.is_empty())
    }
}

/// Compares the two sides.
pub(crate) fn check(evidence: &Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    webhooks(evidence, &mut findings);
    let took_effect = orders_that_took_effect(evidence);
    stock(evidence, &took_effect, &mut findings);
    let mails = Sends {
        what: "mail",
        effect: "order-confirmation",
        arrived: evidence.mails,
        to: |order| &order.email,
        left_unknown: &[],
    };
    findings.ambiguous_mails = sends(&mails, &evidence.books.outbox, &took_effect, &mut findings);
    let calls = Sends {
        what: "call",
        effect: "tell-warehouse",
        arrived: evidence.calls,
        to: |order| &order.id,
        left_unknown: &FLAKY,
    };
    findings.ambiguous_calls = sends(&calls, &evidence.books.outbox, &took_effect, &mut findings);
    let allowed = evidence.books.outbox.len() * evidence.doubts.percent() / 100;
    if findings.in_doubt.len() > allowed {
        findings.too_many_in_doubt.clone_from(&findings.in_doubt);
    }
    findings.residue = evidence.residue.iter().filter(|(_, n)| **n > 0).map(|(at, n)| format!("{at}: {n}")).collect();
    findings
}

fn webhooks(evidence: &Evidence<'_>, findings: &mut Findings) {
    let Evidence { history, books, .. } = evidence;
    for (id, sent) in &history.webhooks {
        let is_known = books.processed.contains(id) || books.parked.contains_key(id);
        match sent.accepted_at {
            None => findings.never_accepted.push(id.clone()),
            Some(at) if !is_known && evidence.destroyed.is_some_and(|destroyed| at <= destroyed.at) => {
                findings.destroyed.push(id.clone());
            }
            Some(_) if !is_known => findings.lost.push(id.clone()),
            Some(_) => {}
        }
    }
    if evidence.destroyed.is_some_and(|destroyed| findings.destroyed.len() > destroyed.at_most) {
        findings.lost.append(&mut findings.destroyed);
    }
    let is_kept = |id: &&String| {
        history.webhooks.get(*id).is_none_or(|sent| books.bodies.get(*id).is_some_and(|body| sent.body == *body))
    };
    findings.altered.extend(books.processed.iter().filter(|id| !is_kept(id)).cloned());
    findings.processed_and_parked.extend(books.parked.keys().filter(|id| books.processed.contains(*id)).cloned());
    findings.invented.extend(books.processed.iter().filter(|id| !history.webhooks.contains_key(*id)).cloned());
    let has_reason = |id: &String| evidence.may_park.iter().any(|beginning| id.starts_with(beginning));
    let parked = books.parked.iter().filter(|(id, _)| !has_reason(id));
    findings.parked_without_reason.extend(parked.map(|(id, reason)| format!("{id}: {reason}")));
}

/// Each order with a processed webhook.
fn orders_that_took_effect<'r>(evidence: &Evidence<'r>) -> BTreeMap<&'r str, &'r Order> {
    let Evidence { history, books, .. } = evidence;
    let processed = history.webhooks.iter().filter(|(id, _)| books.processed.contains(*id));
    processed.map(|(_, sent)| (sent.order.id.as_str(), &sent.order)).collect()
}

fn stock(evidence: &Evidence<'_>, orders: &BTreeMap<&str, &Order>, findings: &mut Findings) {
    let mut expected: BTreeMap<(&str, &str), (&str, i64)> = BTreeMap::new();
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, order) in orders {
        for line in &order.lines {
            expected.insert((id, &line.id), (&line.sku, -line.quantity));
            *taken.entry(&line.sku).or_default() += line.quantity;
        }
    }
    for (order, line, sku, delta) in &evidence.books.ledger {
        let place = format!("{order}/{line}");
        match expected.remove(&(order.as_str(), line.as_str())) {
            None if orders.contains_key(order.as_str()) => findings.doubled.push(place),
            None => findings.invented.push(place),
            Some(right) if right != (sku.as_str(), *delta) => findings.doubled.push(place),
            Some(_) => {}
        }
    }
    findings.missing.extend(expected.keys().map(|(order, line)| format!("{order}/{line}")));
    for (sku, really) in &evidence.books.taken {
        let model = taken.get(sku.as_str()).copied().unwrap_or(0);
        if *really != model {
            findings.stock_off.push(format!("{sku}: {really} taken, {model} sold"));
        }
    }
}

/// One kind of send: the effect that asks for it, and where an order's should arrive.
struct Sends<'r> {
    what: &'static str,
    effect: &'static str,
    arrived: &'r Arrived,
    to: fn(&Order) -> &String,
    /// What the id begins with of sends whose outcome the peer leaves unknown by itself.
    left_unknown: &'static [char],
}

/// What the first digit of a call's idempotency key must be for the flaky service to leave its outcome unknown (it hangs
/// up, or says 502).
const FLAKY: [char; 3] = ['0', '1', '4'];

/// One send an order, under one id; further copies only where the outbox says `ambiguous`. A send may be absent where
/// the outbox says that a person must look. Returns the copies beyond the first that are listed.
fn sends(sends: &Sends<'_>, outbox: &[OutboxRow], orders: &BTreeMap<&str, &Order>, findings: &mut Findings) -> u64 {
    let own: Vec<&OutboxRow> = outbox.iter().filter(|row| row.key.split('/').next() == Some(sends.effect)).collect();
    let order_of = |row: &&OutboxRow| row.key.rsplit('/').next().unwrap_or_default().to_owned();
    let rows: BTreeMap<String, &OutboxRow> = own.iter().map(|row| (order_of(row), *row)).collect();
    if rows.len() < own.len() {
        findings.doubled.push(format!("{}: two rows of the outbox for one order", sends.what));
    }
    let (mut addressees, mut listed) = (BTreeSet::new(), 0);
    for (id, order) in orders {
        let (to, row) = ((sends.to)(order), rows.get(*id));
        addressees.insert(to);
        let copies: u64 = sends.arrived.get(to).map_or(0, |by_id| by_id.values().map(|n| u64::from(*n)).sum());
        let ids = sends.arrived.get(to).map_or(0, BTreeMap::len);
        let ambiguous = row.is_some_and(|row| row.ambiguous);
        let waits_for_a_person = row.is_some_and(|row| matches!(row.state.as_str(), "held" | "failed"));
        let by_itself =
            sends.arrived.get(to).is_some_and(|by_id| by_id.keys().any(|id| id.starts_with(sends.left_unknown)));
        if (ambiguous || waits_for_a_person) && !by_itself {
            findings.in_doubt.push(format!("{} to {to}", sends.what));
        }
        if copies == 0 && !waits_for_a_person {
            findings.missing.push(format!("{} to {to}", sends.what));
        }
        if ids > 1 || (copies > 1 && !ambiguous) {
            findings.doubled.push(format!("{} to {to}: {copies} copies under {ids} ids", sends.what));
        } else {
            listed += copies.saturating_sub(1);
        }
    }
    let to_nobody = sends.arrived.keys().filter(|to| !addressees.contains(to) && !to.starts_with("operator@"));
    findings.invented.extend(to_nobody.map(|to| format!("{} to {to}", sends.what)));
    listed
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
