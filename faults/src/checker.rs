//! The checker: what was answered 2xx against what took effect, in the manner of Jepsen's total queue.
//!
//! Pure. Accepted webhooks that are neither processed nor parked are *lost*; an effect that happened more often than
//! its business key allows is *doubled*; what is neither sent nor accepted is *invented*. Webhooks without a 2xx may
//! have taken effect or not: the provider sends those again, and by the end of a run none should be left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::database::Books;
use crate::history::History;
use crate::mail::Mails;
use crate::shop::Line;

/// Everything that is known at the end of a run.
pub(crate) struct Evidence<'r> {
    pub(crate) history: &'r History,
    pub(crate) books: &'r Books,
    pub(crate) mails: &'r Mails,
    /// Messages left in queues, files left in spools: where, and how many.
    pub(crate) residue: &'r BTreeMap<String, u64>,
    /// Webhooks accepted before this may be lost: the fault destroyed the queue they were in.
    pub(crate) destroyed_at: Option<Instant>,
    /// Beginnings of the ids that may be parked.
    pub(crate) may_park: &'r [&'static str],
}

/// What the checker found. Lists hold ids, order ids or keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Accepted and nowhere.
    pub(crate) lost: Vec<String>,
    /// Accepted, and lost with the queue that the fault destroyed.
    pub(crate) destroyed: Vec<String>,
    /// Lines that were taken out of stock more than once, or otherwise than ordered; mails that came more than once.
    pub(crate) doubled: Vec<String>,
    /// Effects of something that was never sent.
    pub(crate) invented: Vec<String>,
    /// Processed orders without their lines in the ledger, or without their mail.
    pub(crate) missing: Vec<String>,
    /// Webhooks that were parked and had no reason to be.
    pub(crate) parked_without_reason: Vec<String>,
    /// Sent and never accepted, although the provider tried until the end.
    pub(crate) never_accepted: Vec<String>,
    /// SKUs whose stock is not what the model says.
    pub(crate) stock_off: Vec<String>,
    /// What was left behind.
    pub(crate) residue: Vec<String>,
    /// Copies of mails beyond the first, all of them among the rows listed as ambiguous.
    pub(crate) ambiguous_copies: u64,
}

impl Findings {
    /// Whether every invariant holds.
    pub(crate) fn is_right(&self) -> bool {
        let Self {
            lost, doubled, invented, missing, parked_without_reason, never_accepted, stock_off, residue, ..
        } = self;
        [lost, doubled, invented, missing, parked_without_reason, never_accepted, stock_off, residue]
            .iter()
            .all(|list| list.is_empty())
    }
}

/// Compares the two sides.
pub(crate) fn check(evidence: &Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    webhooks(evidence, &mut findings);
    let took_effect = orders_that_took_effect(evidence);
    stock(evidence, &took_effect, &mut findings);
    mails(evidence, &took_effect, &mut findings);
    findings.residue = evidence.residue.iter().filter(|(_, n)| **n > 0).map(|(at, n)| format!("{at}: {n}")).collect();
    findings
}

fn webhooks(evidence: &Evidence<'_>, findings: &mut Findings) {
    let Evidence { history, books, .. } = evidence;
    for (id, sent) in &history.webhooks {
        let is_known = books.processed.contains(id) || books.parked.contains_key(id);
        match sent.accepted_at {
            None => findings.never_accepted.push(id.clone()),
            Some(at) if !is_known && evidence.destroyed_at.is_some_and(|destroyed| at <= destroyed) => {
                findings.destroyed.push(id.clone());
            }
            Some(_) if !is_known => findings.lost.push(id.clone()),
            Some(_) => {}
        }
    }
    findings.invented.extend(books.processed.iter().filter(|id| !history.webhooks.contains_key(*id)).cloned());
    let has_reason = |id: &String| evidence.may_park.iter().any(|beginning| id.starts_with(beginning));
    let parked = books.parked.iter().filter(|(id, _)| !has_reason(id));
    findings.parked_without_reason.extend(parked.map(|(id, reason)| format!("{id}: {reason}")));
}

/// Lines by order, for each order with a processed webhook.
fn orders_that_took_effect<'r>(evidence: &Evidence<'r>) -> BTreeMap<&'r str, (&'r str, &'r [Line])> {
    let Evidence { history, books, .. } = evidence;
    let processed = history.webhooks.iter().filter(|(id, _)| books.processed.contains(*id));
    processed
        .map(|(_, sent)| (sent.order.id.as_str(), (sent.order.email.as_str(), sent.order.lines.as_slice())))
        .collect()
}

fn stock(evidence: &Evidence<'_>, orders: &BTreeMap<&str, (&str, &[Line])>, findings: &mut Findings) {
    let mut expected: BTreeMap<(&str, &str), (&str, i64)> = BTreeMap::new();
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    for (order, (_, lines)) in orders {
        for line in *lines {
            expected.insert((order, &line.id), (&line.sku, -line.quantity));
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

/// One mail an order, under one Message-ID; further copies only where the outbox says `ambiguous`. A mail may be
/// absent where the outbox says that a person must look.
fn mails(evidence: &Evidence<'_>, orders: &BTreeMap<&str, (&str, &[Line])>, findings: &mut Findings) {
    let order_of = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let rows: BTreeMap<String, _> = evidence.books.outbox.iter().map(|row| (order_of(&row.key), row)).collect();
    if rows.len() < evidence.books.outbox.len() {
        findings.doubled.push("outbox: two rows for one order".to_owned());
    }
    let mut addressees = BTreeSet::new();
    for (order, (email, _)) in orders {
        addressees.insert(*email);
        let row = rows.get(*order);
        let copies: u64 = evidence.mails.get(*email).map_or(0, |by_id| by_id.values().map(|n| u64::from(*n)).sum());
        let message_ids = evidence.mails.get(*email).map_or(0, BTreeMap::len);
        let ambiguous = row.is_some_and(|row| row.ambiguous);
        let waits_for_a_person = row.is_some_and(|row| matches!(row.state.as_str(), "held" | "failed"));
        if copies == 0 && !waits_for_a_person {
            findings.missing.push(format!("mail to {email}"));
        }
        if message_ids > 1 || (copies > 1 && !ambiguous) {
            findings.doubled.push(format!("mail to {email}: {copies} copies, {message_ids} Message-IDs"));
        } else {
            findings.ambiguous_copies += copies.saturating_sub(1);
        }
    }
    let to_nobody =
        evidence.mails.keys().filter(|to| !addressees.contains(to.as_str()) && !to.starts_with("operator@"));
    findings.invented.extend(to_nobody.map(|to| format!("mail to {to}")));
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
