//! A database in memory: transactions that see what is committed, wait for each other's keys, and
//! end in the ways of Postgres: committed, rolled back, or nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use shared::db::parked_webhooks::ParkReason;
use testing::simulation::Random;

use super::Bug;
use super::webhooks::{LATE, SKUS};
use crate::course::BatchError;

/// In stock at the beginning, of each SKU.
const INITIAL: i64 = 1_000;
/// After so long without a statement, Postgres ends a session in a transaction.
const IDLE_TIMEOUT_MS: u64 = 400;

/// What a statement says.
#[derive(Debug)]
pub(super) enum Reply<T> {
    Done(T),
    /// Another transaction holds a key: it waits.
    Waits,
    /// The transaction is rolled back.
    Failed(BatchError),
}

/// What another transaction may wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Claim(u64),
    Line(String, String),
    Sku(String),
    Mail(String),
    Parked(u64),
}

#[derive(Default)]
pub(super) struct Transaction {
    pub(super) claims: BTreeMap<u64, [u8; 32]>,
    pub(super) sales: BTreeMap<(String, String), (String, i64)>,
    pub(super) stock: BTreeMap<String, i64>,
    pub(super) mails: BTreeSet<String>,
    pub(super) resolved: Vec<u64>,
    pub(super) parked: Option<(u64, ParkReason)>,
    last_statement_ms: u64,
}

pub(super) struct Database {
    pub(super) bug: Option<Bug>,
    /// Claimed webhooks, with the hash of the body that was processed.
    pub(super) processed: BTreeMap<u64, [u8; 32]>,
    pub(super) ledger: BTreeMap<(String, String), (String, i64)>,
    pub(super) inventory: BTreeMap<String, i64>,
    pub(super) outbox: BTreeSet<String>,
    /// Why a webhook is parked, and whether it still is.
    pub(super) parked: BTreeMap<u64, (ParkReason, bool)>,
    open: BTreeMap<u64, Transaction>,
    keys: BTreeMap<Key, u64>,
    /// Failures that flaky orders have yet to see.
    pub(super) flaky: BTreeMap<String, u64>,
    last_transaction: u64,
    /// Whether it answers nobody.
    pub(super) away: bool,
    /// One statement in so many fails; 0: none.
    pub(super) failing: u64,
    now_ms: u64,
    pub(super) random: Random,
    /// Kinds of what happened.
    pub(super) seen: BTreeSet<&'static str>,
}

impl Database {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        Self {
            bug,
            processed: BTreeMap::new(),
            ledger: BTreeMap::new(),
            inventory: SKUS.iter().map(|sku| ((*sku).to_owned(), INITIAL)).collect(),
            outbox: BTreeSet::new(),
            parked: BTreeMap::new(),
            open: BTreeMap::new(),
            keys: BTreeMap::new(),
            flaky: BTreeMap::new(),
            last_transaction: 0,
            away: false,
            failing: 0,
            now_ms: 0,
            random: Random::new(seed),
            seen: BTreeSet::new(),
        }
    }

    /// Somebody adds the SKU that was missing.
    pub(super) fn add_late_sku(&mut self) {
        self.inventory.entry(LATE.to_owned()).or_insert(INITIAL);
    }

    /// Time passes; transactions that nobody goes on with are ended.
    pub(super) fn pass(&mut self, time_ms: u64) {
        self.now_ms += time_ms;
        let idle = |open: &Transaction| open.last_statement_ms + IDLE_TIMEOUT_MS < self.now_ms;
        let ended: Vec<u64> = self.open.iter().filter(|(_, open)| idle(open)).map(|(id, _)| *id).collect();
        for id in ended {
            self.seen.insert("a session that idled is ended");
            self.roll_back(id);
        }
    }

    /// It ends all sessions, and lets nobody in until it is back.
    pub(super) fn go_away(&mut self) {
        self.away = true;
        self.open.clear();
        self.keys.clear();
    }

    pub(super) fn begin(&mut self) -> u64 {
        self.last_transaction += 1;
        let transaction = Transaction { last_statement_ms: self.now_ms, ..Transaction::default() };
        self.open.insert(self.last_transaction, transaction);
        self.last_transaction
    }

    pub(super) fn roll_back(&mut self, id: u64) {
        self.open.remove(&id);
        self.keys.retain(|_, holder| *holder != id);
    }

    pub(super) fn has(&self, key: u64) -> bool {
        self.processed.contains_key(&key)
    }

    pub(super) fn fails<T>(&mut self, id: u64, size: usize) -> Option<Reply<T>> {
        let gone = self.away || !self.open.contains_key(&id);
        let error = if gone || (self.failing > 0 && self.random.once_in(self.failing)) {
            BatchError::Away(String::new())
        } else if self.failing > 0 && self.random.once_in(if size > 1 { 40 } else { 200 }) {
            self.seen.insert("a batch that takes too long");
            BatchError::TooSlow(String::new())
        } else {
            let now_ms = self.now_ms;
            self.with(id, |open| open.last_statement_ms = now_ms);
            return None;
        };
        self.roll_back(id);
        Some(Reply::Failed(error))
    }

    pub(super) fn with<T: Default>(&mut self, id: u64, act: impl FnOnce(&mut Transaction) -> T) -> T {
        self.open.get_mut(&id).map(act).unwrap_or_default()
    }

    /// Takes a key, unless another transaction has it.
    pub(super) fn hold(&mut self, id: u64, key: Key) -> bool {
        *self.keys.entry(key).or_insert(id) == id
    }

    /// COMMIT; its answer may be lost, whether it went through or not.
    pub(super) fn end(&mut self, id: u64) -> Reply<()> {
        let unknown = self.failing > 0 && self.random.once_in(self.failing);
        if unknown {
            self.seen.insert("a COMMIT whose answer is lost");
        }
        if !unknown || self.random.once_in(2) {
            self.apply(id);
        }
        self.roll_back(id);
        if unknown { Reply::Failed(BatchError::Away(String::new())) } else { Reply::Done(()) }
    }

    /// Whoever waited for the answer is gone; it may have gone through all the same.
    pub(super) fn abandon(&mut self, id: u64, complete: bool) {
        if complete && self.random.once_in(2) {
            self.seen.insert("a COMMIT after whoever waited for it is gone");
            self.apply(id);
        }
        self.roll_back(id);
    }

    fn apply(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        self.processed.extend(open.claims);
        self.ledger.extend(open.sales);
        self.inventory.extend(open.stock);
        self.outbox.extend(open.mails);
        for key in open.resolved {
            self.seen.insert("a parked webhook is resolved");
            self.parked.entry(key).and_modify(|(_, is_open)| *is_open = false);
        }
        if let Some((key, reason)) = open.parked {
            self.parked.insert(key, (reason, true));
        }
    }

    /// Whether a webhook is where it may be acknowledged.
    pub(super) fn has_settled(&self, key: u64) -> bool {
        self.has(key) || self.parked.contains_key(&key)
    }

    /// What inventory would be if it were initial quantity and ledger.
    pub(super) fn expected_inventory(&self) -> BTreeMap<String, i64> {
        let mut inventory: BTreeMap<String, i64> = self.inventory.keys().map(|sku| (sku.clone(), INITIAL)).collect();
        for (sku, quantity) in self.ledger.values() {
            *inventory.entry(sku.clone()).or_default() -= quantity;
        }
        inventory
    }
}

impl<T> Reply<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Done(value) => Reply::Done(change(value)),
            Self::Waits => Reply::Waits,
            Self::Failed(error) => Reply::Failed(error),
        }
    }
}
