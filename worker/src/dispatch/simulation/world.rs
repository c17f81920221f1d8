//! A world of one outbox: workers, their leases and sends, a peer, a clock, and what goes wrong
//! between them.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::config::{AmbiguousPolicy, DispatchConfig};
use shared::db::outbox::{Lease, Settled, Settlement};
use testing::outbox::{Outbox, State};
use testing::simulation::{Log, Random};

use super::Bug;
use crate::dispatch::attempt::{AttemptRules, Performance};

const WORKERS: usize = 3;
const SLOTS: usize = 2;
const LEASE: Duration = Duration::from_millis(1_000);
const MAX_ATTEMPTS: i32 = 5;
const EXPIRED_DELAY: Duration = Duration::from_millis(50);

/// Where a send is.
#[derive(Debug)]
enum Stage {
    Leased,
    /// The peer is being spoken to.
    Begun,
    Performed(Settlement),
}

/// One send of one worker.
#[derive(Debug)]
struct Send {
    lease: Lease,
    leased_at: Duration,
    stage: Stage,
}

pub(super) struct World {
    random: Random,
    bug: Option<Bug>,
    rules: AttemptRules,
    pub(super) outbox: Outbox,
    /// What each worker has begun, and until when it stands still.
    workers: Vec<(Vec<Send>, Duration)>,
    /// Acceptances by the peer, of each key.
    pub(super) accepted: BTreeMap<String, u32>,
    now: Duration,
    chaos: bool,
    broken: Option<String>,
    pub(super) log: Log,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>, log: Log) -> Self {
        let config = DispatchConfig {
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap(),
            deadline_ms: 400,
            max_attempts: MAX_ATTEMPTS,
            retry_min_ms: 20,
            retry_max_ms: 200,
            ..DispatchConfig::default()
        };
        Self {
            random: Random::new(seed),
            bug,
            rules: AttemptRules::new(&config),
            outbox: Outbox::default(),
            workers: (0..WORKERS).map(|_| (Vec::new(), Duration::ZERO)).collect(),
            accepted: BTreeMap::new(),
            now: Duration::from_secs(1),
            chaos: true,
            broken: None,
            log,
        }
    }

    /// Chaos, then healing, until every row has come to an end.
    pub(super) fn live(&mut self) -> Result<(), String> {
        let chaos = 200 + self.random.below(400);
        for _ in 0..chaos {
            self.step();
        }
        self.chaos = false;
        let is_open = |world: &Self| {
            let open = world.outbox.rows.values().any(|row| matches!(row.state, State::Pending | State::Sending));
            open || world.workers.iter().any(|(sends, _)| !sends.is_empty())
        };
        let mut patience = 20_000;
        while is_open(self) && self.broken.is_none() {
            patience -= 1;
            if patience == 0 {
                return Err("a row is still under way long after the healing".to_owned());
            }
            self.step();
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    fn step(&mut self) {
        let worker = self.random.index(WORKERS);
        match self.random.below(20) {
            0..2 if self.chaos => self.plan(),
            2..4 => self.pass(),
            4 => self.expire(),
            5 if self.chaos => self.fault(worker),
            _ if self.workers[worker].1 > self.now => {}
            6..9 => self.lease(worker),
            _ => self.go_on(worker),
        }
    }

    /// A webhook asks for an effect; several may ask for the same.
    fn plan(&mut self) {
        let number = self.random.below(12);
        let mut key = format!("k{number}");
        if self.bug == Some(Bug::PlannedTwice) && self.outbox.rows.len() > 5 {
            key.push(' ');
        }
        let policy = if number.is_multiple_of(3) { AmbiguousPolicy::Hold } else { AmbiguousPolicy::Resend };
        match self.outbox.insert(&key, "email", policy, self.now) {
            Some(id) => self.log.note("an effect is planned", || format!("row {id}, {key}")),
            None => self.log.note("an effect is planned again", || key),
        }
    }

    fn pass(&mut self) {
        self.now += Duration::from_millis(self.random.below(80));
    }

    fn expire(&mut self) {
        for (id, state) in self.outbox.expire(MAX_ATTEMPTS, EXPIRED_DELAY, self.now) {
            if let Some(row) = self.outbox.rows.get_mut(&id).filter(|_| self.bug == Some(Bug::HeldIsResent)) {
                row.state = State::Pending;
            }
            self.log.note("a lease runs out", || format!("row {id} is {state:?}"));
        }
    }

    fn fault(&mut self, worker: usize) {
        if self.random.once_in(2) {
            self.workers[worker].0.clear();
            self.log.note("a worker ends", || format!("worker {worker}"));
        } else {
            self.workers[worker].1 = self.now + Duration::from_millis(self.random.below(3_000));
            self.log.note("a worker freezes", || format!("worker {worker}"));
        }
    }

    /// Leases as many rows as there are free slots; the answer may be lost, and the rows with it.
    fn lease(&mut self, worker: usize) {
        let free = SLOTS - self.workers[worker].0.len();
        let due = self.outbox.due(&["email"], self.now);
        let is_lost = self.chaos && self.random.once_in(30);
        for id in due.into_iter().take(free) {
            let lease = match self.bug {
                Some(Bug::SentBeforeLeased) => self.outbox.clone().lease(id, LEASE, self.now),
                _ => self.outbox.lease(id, LEASE, self.now),
            };
            if is_lost {
                self.log.note("a lease nobody hears of", || format!("row {id}"));
                continue;
            }
            self.log.note("a lease", || format!("row {id} by worker {worker}, fence {}", lease.fence));
            self.workers[worker].0.push(Send { lease, leased_at: self.now, stage: Stage::Leased });
        }
    }

    /// One of a worker's sends goes on.
    fn go_on(&mut self, worker: usize) {
        let count = self.workers[worker].0.len();
        if count == 0 {
            return;
        }
        let place = self.random.index(count);
        let mut send = self.workers[worker].0.swap_remove(place);
        match send.stage {
            Stage::Leased if self.rules.may_begin(self.now.saturating_sub(send.leased_at)) => {
                self.log.note("an attempt begins", || format!("{send:?}"));
                send.stage = Stage::Begun;
            }
            Stage::Leased => {
                self.log.note("an attempt is too late to begin", || format!("{send:?}"));
                send.stage = Stage::Performed(self.settlement(&send, Performance::NotSent(String::new())));
            }
            Stage::Begun => {
                let performance = self.perform(&send);
                send.stage = Stage::Performed(self.settlement(&send, performance));
            }
            Stage::Performed(ref settlement) => {
                if self.settle(&send, &settlement.clone()) {
                    return;
                }
            }
        }
        self.workers[worker].0.push(send);
    }

    fn settlement(&self, send: &Send, performance: Performance) -> Settlement {
        match self.rules.settlement(send.lease.attempts, send.lease.on_ambiguous, performance) {
            Settlement::Ambiguous { after, error, .. } if self.bug == Some(Bug::AmbiguityForgotten) => {
                Settlement::Retry { after, error }
            }
            settlement => settlement,
        }
    }

    /// One attempt, as the peer sees it and as the worker does.
    fn perform(&mut self, send: &Send) -> Performance {
        let fate = if self.chaos { self.random.below(12) } else { 11 };
        let (accepts, what, performance) = match fate {
            0 => (false, "the peer refuses for good", Performance::Refused(String::new())),
            1..3 => (false, "the peer refuses for now", Performance::NotSent(String::new())),
            3 => (false, "the peer is silent and has nothing", Performance::Unknown(String::new())),
            4 => (true, "the peer accepts and its answer is lost", Performance::Unknown(String::new())),
            _ => (true, "the peer accepts", Performance::Sent),
        };
        if accepts {
            *self.accepted.entry(send.lease.dedupe_key.trim().to_owned()).or_default() += 1;
        }
        self.log.note(what, || format!("{send:?}"));
        performance
    }

    /// Tells whether the worker has heard how its settlement went.
    fn settle(&mut self, send: &Send, settlement: &Settlement) -> bool {
        let Lease { id, fence, .. } = send.lease;
        let holds = self.outbox.rows.get(&id).is_some_and(|row| row.fence == fence && row.state == State::Sending);
        let is_heard = !self.chaos || !self.random.once_in(8);
        if !is_heard && self.random.once_in(2) {
            self.log.note("the database is away", || format!("row {id}"));
            return false;
        }
        let settled = match self.bug {
            Some(Bug::Unfenced | Bug::SentBeforeLeased) => {
                self.outbox.rows.get_mut(&id).unwrap().settle(settlement, self.now);
                Settled::Done
            }
            _ => self.outbox.settle(id, fence, settlement, self.now),
        };
        if settled == Settled::Done && !holds && self.bug != Some(Bug::SentBeforeLeased) {
            self.broken = Some(format!("row {id} is settled under fence {fence}, which is over"));
        }
        let what = if settled == Settled::Done { "a settlement" } else { "a settlement after the lease" };
        self.log.note(what, || format!("row {id}: {settlement:?}"));
        is_heard || settled == Settled::LeaseLost
    }
}
