//! A world: webhooks, workers, a broker, a database, a clock, and what goes wrong between them.

use std::collections::BTreeMap;

use shared::db::parked_webhooks::ParkReason;
use testing::simulation::{Log, Random};

use super::Bug;
use super::broker::{Broker, Target};
use super::database::Database;
use super::hand::{Did, Hand, Surroundings};
use super::webhooks::{Kind, Webhook};
use crate::lane::Lane;

/// Tries after the healing within which everything must have come to its end.
const PATIENCE: u64 = 40_000;
const LANES: [Lane; 3] = [Lane::Work, Lane::Suspect, Lane::Dead];

pub(super) struct World {
    random: Random,
    broker: Broker,
    database: Database,
    webhooks: BTreeMap<u64, Webhook>,
    /// Webhooks that a provider has yet to send; some come more than once.
    to_send: Vec<u64>,
    /// Three a worker, one a lane.
    hands: Vec<Hand>,
    /// Steps for which a hand does nothing.
    frozen: BTreeMap<usize, u64>,
    chaos: bool,
    /// What has been tried, whether anything came of it.
    tries: u64,
    pub(super) log: Log,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>, log: Log) -> Self {
        let mut random = Random::new(seed);
        let (count, workers) = (1 + random.below(14), 1 + random.index(3));
        let themes = [Kind::Early, Kind::Flaky, Kind::Panics, Kind::Beast, Kind::Good];
        let theme = *random.pick(&themes);
        let webhooks: BTreeMap<u64, Webhook> =
            (0..count).map(|number| (number, Webhook::any(&mut random, theme, count))).collect();
        let mut to_send: Vec<u64> = webhooks.keys().copied().collect();
        for _ in 0..random.below(2 * count + 1) {
            to_send.push(random.below(count));
        }
        for place in 0..to_send.len() {
            let other = random.index(to_send.len());
            to_send.swap(place, other);
        }
        let hands = (0..workers * LANES.len()).map(|number| Hand::new(number, LANES[number % LANES.len()], bug));
        Self {
            broker: Broker::default(),
            database: Database::new(!seed, bug),
            webhooks,
            to_send,
            hands: hands.collect(),
            frozen: BTreeMap::new(),
            chaos: true,
            tries: 0,
            log,
            random,
        }
    }

    /// Chaos, then healing, then the law.
    pub(super) fn live(&mut self) -> Result<(), String> {
        self.database.failing = 20 + self.random.below(60);
        let chaos = 300 + self.random.below(1_200);
        while self.tries < chaos {
            self.step()?;
        }
        self.chaos = false;
        (self.database.failing, self.database.away) = (0, false);
        self.database.add_late_sku();
        let healed = self.tries;
        while !self.is_quiet() {
            if self.tries > healed + PATIENCE {
                return Err(format!("{} messages are still under way long after the healing", self.broker.rest()));
            }
            self.step()?;
        }
        self.log.seen.extend(self.broker.seen.iter().chain(&self.database.seen));
        self.law()
    }

    fn is_quiet(&self) -> bool {
        self.to_send.is_empty() && self.broker.rest() == 0 && self.hands.iter().all(Hand::is_idle)
    }

    fn step(&mut self) -> Result<(), String> {
        self.tries += 1;
        match self.random.below(100) {
            0..5 => self.send(),
            5..20 => self.deliver(),
            20..30 => self.hear(),
            30..35 => self.pass(),
            35..38 if self.chaos => self.fault(),
            _ => return self.act(),
        }
        Ok(())
    }

    /// A provider sends a webhook, at times with another body.
    fn send(&mut self) {
        let Some(number) = self.to_send.pop() else { return };
        let webhook = self.webhooks[&number];
        let changed = webhook.changes && self.random.once_in(2);
        self.broker.publish(Target::Work, webhook.message(number, changed));
        self.log.note("a webhook is sent", || format!("w{number}, {webhook:?}, changed: {changed}"));
    }

    fn deliver(&mut self) {
        let hand = self.random.index(self.hands.len());
        if let Some(id) = self.broker.deliver(hand).map(|message| message.id.clone()) {
            self.log.note("a delivery", || format!("{id} to hand {hand}"));
        }
    }

    fn hear(&mut self) {
        let hand = self.random.index(self.hands.len());
        if self.broker.hear(hand) {
            self.log.note("an acknowledgement arrives", || format!("of hand {hand}"));
        }
    }

    fn pass(&mut self) {
        let time_ms = self.random.below(200);
        self.broker.pass(time_ms, &mut self.random);
        self.database.pass(time_ms);
    }

    fn fault(&mut self) {
        let hand = self.random.index(self.hands.len());
        match self.random.below(10) {
            0..2 => self.kill(hand / LANES.len()),
            2..4 => self.cut_off(hand),
            4..6 => {
                self.frozen.insert(hand, 20 + self.random.below(200));
                self.log.note("a freeze", || format!("of hand {hand}"));
                if self.random.once_in(2) {
                    self.broker.lose(hand, &mut self.random);
                    self.log.note("the broker gives up a connection", || format!("of hand {hand}"));
                }
            }
            6 => {
                self.database.go_away();
                self.log.note("the database goes away", String::new);
            }
            7..9 => self.database.away = false,
            _ => self.database.add_late_sku(),
        }
    }

    /// A worker's process ends, with all its hands.
    fn kill(&mut self, worker: usize) {
        self.log.note("a process ends", || format!("worker {worker}"));
        for hand in worker * LANES.len()..(worker + 1) * LANES.len() {
            self.cut_off(hand);
        }
    }

    /// A connection ends, and what the hand had in hand with it.
    fn cut_off(&mut self, hand: usize) {
        self.hands[hand].lose(&mut self.broker, &mut self.database, &mut self.random);
        self.frozen.remove(&hand);
        self.log.note("a connection ends", || format!("of hand {hand}"));
    }

    fn act(&mut self) -> Result<(), String> {
        let hand = self.random.index(self.hands.len());
        if let Some(steps) = self.frozen.get_mut(&hand).filter(|steps| **steps > 0) {
            *steps -= 1;
            return Ok(());
        }
        let mut surroundings = Surroundings {
            broker: &mut self.broker,
            database: &mut self.database,
            webhooks: &self.webhooks,
            random: &mut self.random,
            chaos: self.chaos,
        };
        match self.hands[hand].step(&mut surroundings) {
            Did::Nothing => {}
            Did::Something(what) => self.log.note(what, || format!("hand {hand} {}", self.hands[hand].describe())),
            Did::Died => self.kill(hand / LANES.len()),
            Did::Lied(what) => return Err(what),
        }
        Ok(())
    }

    /// Every webhook that was sent is processed, or parked for a reason that it may be parked for;
    /// what is processed has taken effect, once; inventory is initial quantity and ledger.
    fn law(&self) -> Result<(), String> {
        for (number, webhook) in &self.webhooks {
            self.law_of(*number, webhook).map_err(|broken| format!("w{number}, {webhook:?}: {broken}"))?;
        }
        let orders = |number: &u64| self.webhooks[number].order;
        let processed: Vec<u64> = self.database.processed.keys().map(orders).collect();
        let unasked =
            self.database.ledger.keys().find(|(order, _)| !processed.contains(&super::webhooks::number(order)));
        if let Some((order, line)) = unasked {
            return Err(format!("{order}/{line} is in the ledger, and no webhook that asked for it is processed"));
        }
        match self.database.expected_inventory() == self.database.inventory {
            true => Ok(()),
            false => Err(format!("inventory is not initial quantity and ledger: {:?}", self.database.inventory)),
        }
    }

    fn law_of(&self, number: u64, webhook: &Webhook) -> Result<(), String> {
        let processed = self.database.processed.contains_key(&number);
        let parked = self.database.parked.get(&number).filter(|(_, open)| *open).map(|(reason, _)| *reason);
        if processed && !webhook.may_succeed() {
            return Err("processed, although it cannot be".to_owned());
        }
        match parked {
            None if !processed => return Err("lost: neither processed nor parked".to_owned()),
            Some(reason) if !webhook.may_park_for(reason) => return Err(format!("parked for {reason}")),
            Some(reason) if processed && reason != ParkReason::ChangedBody => {
                return Err(format!("processed and parked for {reason}"));
            }
            _ => {}
        }
        if processed && webhook.kind != Kind::Skipped {
            let plan = webhook.plan();
            let sold = |line: &(String, String), sale: (String, i64)| self.database.ledger.get(line) == Some(&sale);
            let took =
                plan.decrements.into_iter().all(|line| sold(&(line.order, line.line), (line.sku, line.quantity)));
            let wrote = plan.emails.iter().all(|mail| self.database.outbox.contains(&mail.dedupe_key));
            if !took || !wrote {
                return Err("processed, and its effects did not take place".to_owned());
            }
        }
        Ok(())
    }
}
