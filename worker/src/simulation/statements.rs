//! The statements of the model's transactions, as `transaction.rs` and `settlement.rs` send them.
//!
//! One step each, so that two transactions meet between any two of them. What a statement does is
//! this model's word; that Postgres does the same is shown on Postgres (`worker/tests/it`).

use std::collections::{BTreeMap, BTreeSet};

use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;

use super::Bug;
use super::database::{Database, Key, Reply};
use super::webhooks::{FLAKY, NUL, SLOW, number};
use crate::batch::{Outcome, Planned, Trouble};
use crate::course::BatchError;

impl Database {
    /// The `n`th statement of a batch's transaction; `Done(Some(…))` is the end of it.
    pub(super) fn batch(&mut self, id: u64, n: usize, batch: &[Planned]) -> Reply<Option<Vec<Outcome>>> {
        if let Some(failed) = self.fails(id, batch.len()) {
            return failed;
        }
        let done = match n {
            0 => self.claim(id, batch),
            1 if self.is_slow(id, batch) => {
                self.seen.insert("a webhook that always takes too long");
                self.roll_back(id);
                return Reply::Failed(BatchError::TooSlow(String::new()));
            }
            1 => self.record_sales(id, batch),
            2 => self.take_stock(id),
            3 => self.plan_out(id, batch),
            4 => self.resolve(id, batch),
            _ => return self.commit(id, batch),
        };
        match done {
            Ok(true) => Reply::Done(None),
            Ok(false) => Reply::Waits,
            Err(trouble) => {
                self.roll_back(id);
                Reply::Failed(BatchError::Spoiled(trouble))
            }
        }
    }

    /// The `n`th statement of the transaction that parks a webhook; `Done(true)` is the end of it.
    pub(super) fn park(&mut self, id: u64, n: usize, message: &Message, reason: ParkReason) -> Reply<bool> {
        if let Some(failed) = self.fails(id, 1) {
            return failed;
        }
        let key = number(&message.id);
        let done = match n {
            0 => self.bug == Some(Bug::ParkedUnclaimed) || self.has(key) || self.hold(id, Key::Claim(key)),
            1 if self.has(key) && reason != ParkReason::ChangedBody => {
                self.seen.insert("a duplicate that fails");
                true
            }
            1 => {
                let held = self.hold(id, Key::Parked(key));
                self.with(id, |open| open.parked = held.then_some((key, reason)));
                held
            }
            _ => return self.end(id).map(|()| true),
        };
        if done { Reply::Done(false) } else { Reply::Waits }
    }

    /// The one statement that records a retry.
    pub(super) fn record_retry(&mut self, id: u64) -> Reply<bool> {
        match self.fails(id, 1) {
            Some(failed) => failed,
            None => self.end(id).map(|()| true),
        }
    }

    fn claim(&mut self, id: u64, batch: &[Planned]) -> Result<bool, Trouble> {
        let mut firsts: BTreeMap<u64, [u8; 32]> = BTreeMap::new();
        for planned in batch {
            firsts.entry(number(&planned.key.webhook_id)).or_insert(planned.message.body_sha256);
        }
        for (key, hash) in firsts {
            if self.has(key) {
                continue;
            }
            if !self.hold(id, Key::Claim(key)) {
                return Ok(false);
            }
            self.with(id, |open| open.claims.insert(key, hash));
        }
        if self.bug == Some(Bug::ClaimedFirst) {
            let claims = self.with(id, |open| open.claims.clone());
            self.processed.extend(claims);
        }
        Ok(true)
    }

    fn ours<'b>(&mut self, id: u64, batch: &'b [Planned]) -> Vec<&'b Planned> {
        let mut claims = self.with(id, |open| open.claims.clone());
        batch.iter().filter(|planned| claims.remove(&number(&planned.key.webhook_id)).is_some()).collect()
    }

    fn is_slow(&mut self, id: u64, batch: &[Planned]) -> bool {
        let ours = self.ours(id, batch);
        ours.iter().flat_map(|planned| &planned.plan.decrements).any(|decrement| decrement.sku == SLOW)
    }

    fn record_sales(&mut self, id: u64, batch: &[Planned]) -> Result<bool, Trouble> {
        let mut sales = BTreeMap::new();
        for decrement in self.ours(id, batch).iter().flat_map(|planned| &planned.plan.decrements) {
            if decrement.sku == NUL {
                return Err(Trouble::Park(ParkReason::Data, String::new()));
            }
            if decrement.sku == FLAKY {
                let random = &mut self.random;
                let failures = self.flaky.entry(decrement.order.clone()).or_insert_with(|| random.below(6));
                if *failures > 0 {
                    *failures -= 1;
                    return Err(Trouble::Retry(String::new()));
                }
            }
            let line = (decrement.order.clone(), decrement.line.clone());
            sales.entry(line).or_insert((decrement.sku.clone(), decrement.quantity));
        }
        for (line, sale) in sales {
            if !self.ledger.contains_key(&line) {
                if !self.hold(id, Key::Line(line.0.clone(), line.1.clone())) {
                    return Ok(false);
                }
                self.with(id, |open| open.sales.insert(line, sale));
            }
        }
        Ok(true)
    }

    fn take_stock(&mut self, id: u64) -> Result<bool, Trouble> {
        let sales = self.with(id, |open| open.sales.clone());
        let mut stock: BTreeMap<String, i64> = BTreeMap::new();
        for (sku, quantity) in sales.into_values() {
            *stock.entry(sku).or_default() -= quantity;
        }
        for (sku, change) in &mut stock {
            if self.bug != Some(Bug::StockUnlocked) && !self.hold(id, Key::Sku(sku.clone())) {
                return Ok(false);
            }
            let there = self.inventory.get(sku);
            *change += there.ok_or_else(|| Trouble::Park(ParkReason::UnknownSku, String::new()))?;
        }
        self.with(id, |open| open.stock = stock);
        Ok(true)
    }

    fn plan_out(&mut self, id: u64, batch: &[Planned]) -> Result<bool, Trouble> {
        let mails: BTreeSet<String> = self
            .ours(id, batch)
            .iter()
            .flat_map(|planned| &planned.plan.emails)
            .map(|mail| mail.dedupe_key.clone())
            .collect();
        for mail in mails {
            if !self.outbox.contains(&mail) {
                if !self.hold(id, Key::Mail(mail.clone())) {
                    return Ok(false);
                }
                self.with(id, |open| open.mails.insert(mail));
            }
        }
        Ok(true)
    }

    fn resolve(&mut self, id: u64, batch: &[Planned]) -> Result<bool, Trouble> {
        let outcomes = self.outcomes(id, batch);
        let settled =
            batch.iter().zip(outcomes).filter(|(_, outcome)| *outcome != Outcome::Duplicate { changed_body: true });
        let keys: BTreeSet<u64> = settled.map(|(planned, _)| number(&planned.key.webhook_id)).collect();
        for key in keys {
            // A row parked with another body than the processed one still waits for a person.
            let is_settled = |parked: &(ParkReason, bool)| parked.1 && parked.0 != ParkReason::ChangedBody;
            if self.parked.get(&key).is_some_and(is_settled) {
                if !self.hold(id, Key::Parked(key)) {
                    return Ok(false);
                }
                self.with(id, |open| open.resolved.push(key));
            }
        }
        Ok(true)
    }

    /// How each webhook of a batch leaves its transaction.
    fn outcomes(&mut self, id: u64, batch: &[Planned]) -> Vec<Outcome> {
        let claims = self.with(id, |open| open.claims.clone());
        let mut ours = claims.clone();
        let outcome = |planned: &Planned| {
            let key = number(&planned.key.webhook_id);
            match ours.remove(&key) {
                Some(_) if planned.plan.routed => Outcome::Completed,
                Some(_) => Outcome::Skipped,
                None => {
                    let first = claims.get(&key).or_else(|| self.processed.get(&key));
                    Outcome::Duplicate { changed_body: first != Some(&planned.message.body_sha256) }
                }
            }
        };
        batch.iter().map(outcome).collect()
    }

    fn commit(&mut self, id: u64, batch: &[Planned]) -> Reply<Option<Vec<Outcome>>> {
        let outcomes = self.outcomes(id, batch);
        self.end(id).map(|()| Some(outcomes))
    }
}
