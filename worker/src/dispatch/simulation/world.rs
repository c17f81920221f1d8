//! A world of one outbox: workers, their leases and sends, two destinations, a clock, and what goes wrong
//! between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::config::{AmbiguousPolicy, DispatchConfig};
use shared::db::outbox::{Among, Lease, Settled, Settlement};
use testing::outbox::{Outbox, State};
use testing::simulation::{Log, Random};

use super::Bug;
use crate::dispatch::attempt::{AttemptRules, Performance};
use crate::dispatch::{Destinations, Word};

const WORKERS: usize = 3;
const SLOTS: usize = 2;
const LEASE: Duration = Duration::from_millis(1_000);
const MAX_ATTEMPTS: i32 = 5;
const GRACE: Duration = Duration::from_millis(100);
const EXPIRED_DELAY: Duration = Duration::from_millis(50);
const EFFECTS: [&str; 2] = ["call", "mail"];

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

/// One worker.
struct Worker {
    /// What it has begun.
    sends: Vec<Send>,
    destinations: Destinations,
    still_until: Duration,
}

pub(super) struct World {
    random: Random,
    bug: Option<Bug>,
    config: DispatchConfig,
    rules: AttemptRules,
    pub(super) outbox: Outbox,
    workers: Vec<Worker>,
    /// Acceptances by the peer, of each key.
    pub(super) accepted: BTreeMap<String, u32>,
    /// Until when each destination is away.
    away_until: BTreeMap<&'static str, Duration>,
    began: Instant,
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
            breaker_failures: 2,
            breaker_min_ms: 50,
            breaker_max_ms: 400,
            poll_ms: 20,
            ..DispatchConfig::default()
        };
        Self {
            random: Random::new(seed),
            bug,
            rules: AttemptRules::new(&config),
            outbox: Outbox::default(),
            workers: (0..WORKERS).map(|_| Worker::start(&config)).collect(),
            config,
            accepted: BTreeMap::new(),
            away_until: BTreeMap::new(),
            began: Instant::now(),
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
        self.away_until.clear();
        let is_open = |world: &Self| {
            let open = world.outbox.rows.values().any(|row| matches!(row.state, State::Pending | State::Sending));
            open || world.workers.iter().any(|worker| !worker.sends.is_empty())
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
            _ if self.workers[worker].still_until > self.now => {}
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
        let effect = EFFECTS[usize::from(number.is_multiple_of(2))];
        match self.outbox.insert(&key, (effect, "email"), policy, self.now) {
            Some(id) => self.log.note("an effect is planned", || format!("row {id}, {key}")),
            None => self.log.note("an effect is planned again", || key),
        }
    }

    fn pass(&mut self) {
        self.now += Duration::from_millis(self.random.below(80));
    }

    fn expire(&mut self) {
        for (id, state) in self.outbox.expire(MAX_ATTEMPTS, GRACE, EXPIRED_DELAY, self.now) {
            if let Some(row) = self.outbox.rows.get_mut(&id).filter(|_| self.bug == Some(Bug::HeldIsResent)) {
                row.state = State::Pending;
            }
            self.log.note("a lease runs out", || format!("row {id} is {state:?}"));
        }
    }

    fn fault(&mut self, worker: usize) {
        if self.random.once_in(3) {
            let effect = EFFECTS[self.random.index(EFFECTS.len())];
            self.away_until.insert(effect, self.now + Duration::from_millis(self.random.below(4_000)));
            self.log.note("a destination goes away", || effect.to_owned());
        } else if self.random.once_in(2) {
            self.workers[worker] = Worker::start(&self.config);
            self.log.note("a worker ends", || format!("worker {worker}"));
        } else {
            self.workers[worker].still_until = self.now + Duration::from_millis(self.random.below(3_000));
            self.log.note("a worker freezes", || format!("worker {worker}"));
        }
    }

    fn instant(&self) -> Instant {
        self.began + self.now
    }

    /// Leases as many rows as there are free slots: probes first, as the dispatcher does.
    fn lease(&mut self, worker: usize) {
        let mut free = SLOTS - self.workers[worker].sends.len();
        let destinations = self.workers[worker].destinations.clone();
        for effect in destinations.to_probe(self.instant()) {
            if free == 0 || self.bug == Some(Bug::NeverProbed) {
                break;
            }
            match self.lease_among(worker, 1, Among::Only(&effect)) {
                0 => {
                    destinations.finds_no_probe(&effect, self.instant());
                    self.log.note("a probe finds no row that is due", || effect);
                }
                _ => {
                    destinations.probe_begins(&effect, self.instant());
                    self.log.note("a probe is leased", || effect);
                    free -= 1;
                }
            }
        }
        let shut = destinations.shut();
        let shut: Vec<&str> = match self.bug {
            Some(Bug::ProbedTwice) => Vec::new(),
            _ => shut.iter().map(String::as_str).collect(),
        };
        if !shut.is_empty() {
            self.log.note("a destination's rows wait", || format!("{shut:?}"));
        }
        self.lease_among(worker, free, Among::AllBut(&shut));
    }

    /// The answer may be lost, and the rows with it. Returns how many rows were leased.
    fn lease_among(&mut self, worker: usize, limit: usize, among: Among<'_>) -> usize {
        let due: Vec<i64> = self.outbox.due(&["email"], among, self.now).into_iter().take(limit).collect();
        let is_lost = self.chaos && self.random.once_in(30);
        for id in due.iter().copied() {
            let lease = match self.bug {
                Some(Bug::SentBeforeLeased) => self.outbox.clone().lease(id, LEASE, self.now),
                _ => self.outbox.lease(id, LEASE, self.now),
            };
            if is_lost {
                self.log.note("a lease nobody hears of", || format!("row {id}"));
                continue;
            }
            self.log.note("a lease", || format!("row {id} by worker {worker}, fence {}", lease.fence));
            let shut = self.workers[worker].destinations.shut();
            if shut.contains(&lease.effect) && !matches!(among, Among::Only(_)) {
                self.broken = Some(format!("row {id} is begun beside a probe"));
            }
            self.workers[worker].sends.push(Send { lease, leased_at: self.now, stage: Stage::Leased });
        }
        if is_lost { 0 } else { due.len() }
    }

    /// One of a worker's sends goes on.
    fn go_on(&mut self, worker: usize) {
        let count = self.workers[worker].sends.len();
        if count == 0 {
            return;
        }
        let place = self.random.index(count);
        let mut send = self.workers[worker].sends.swap_remove(place);
        match send.stage {
            Stage::Leased if self.rules.may_begin(self.now.saturating_sub(send.leased_at)) => {
                self.log.note("an attempt begins", || format!("{send:?}"));
                send.stage = Stage::Begun;
            }
            Stage::Leased => {
                self.log.note("an attempt is too late to begin", || format!("{send:?}"));
                send.stage = Stage::Performed(self.ended(worker, &send, Performance::NotBegun));
            }
            Stage::Begun => {
                let performance = self.perform(&send);
                send.stage = Stage::Performed(self.ended(worker, &send, performance));
            }
            Stage::Performed(ref settlement) => {
                if self.settle(&send, &settlement.clone()) {
                    return;
                }
            }
        }
        self.workers[worker].sends.push(send);
    }

    fn ended(&mut self, worker: usize, send: &Send, performance: Performance) -> Settlement {
        let destinations = &self.workers[worker].destinations;
        let was_shut = destinations.shut().contains(&send.lease.effect);
        destinations.hear(&send.lease.effect, Word::of(&performance), self.began + self.now);
        if was_shut && !destinations.shut().contains(&send.lease.effect) {
            self.log.note("a destination is back", || send.lease.effect.clone());
        }
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
        let is_away = self.away_until.get(send.lease.effect.as_str()).is_some_and(|until| *until > self.now);
        let (accepts, what, performance) = match fate {
            4.. if is_away => (false, "the peer is away", Performance::NotSent(String::new())),
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

impl Worker {
    fn start(config: &DispatchConfig) -> Self {
        let destinations = Destinations::new(config, BTreeMap::new());
        Self { sends: Vec::new(), destinations, still_until: Duration::ZERO }
    }
}
