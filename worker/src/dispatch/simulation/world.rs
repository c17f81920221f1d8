//! A world of one outbox: workers, their leases and sends, two destinations, a clock, and what goes wrong
//! between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use shared::config::{AmbiguousPolicy, DispatchConfig};
use shared::db::outbox::{Lease, Settled, Settlement, Settling};
use testing::outbox::{Outbox, State};
use testing::simulation::{Log, Random};

use super::Bug;
use super::desk::Desk;
use crate::dispatch::attempt::{AttemptRules, Performance};
use crate::dispatch::{Destinations, Rows, Word, leasing};

const WORKERS: usize = 3;
const SLOTS: usize = 3;
pub(super) const LEASE: Duration = Duration::from_millis(1_000);
const MAX_ATTEMPTS: i32 = 5;
const GRACE: Duration = Duration::from_millis(100);
const EXPIRED_DELAY: Duration = Duration::from_millis(50);
/// So many rows have failed before, and always will.
const BAD_ROWS: u32 = 150;
const ALWAYS: i32 = 1_000_000;
/// How long a fresh row may wait beside them: some of the longest pauses of a breaker (400 ms), and not one a bad row.
const FRESH_WITHIN: Duration = Duration::from_secs(4);
pub(super) const EFFECTS: [&str; 2] = ["call", "mail"];

/// Where a send is.
#[derive(Debug)]
enum Stage {
    Leased,
    /// The peer is being spoken to.
    Begun,
    Performed(Settlement),
    /// It was settled, and nobody has heard how that went.
    Unheard(Settlement),
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
    pub(super) random: Random,
    pub(super) bug: Option<Bug>,
    config: DispatchConfig,
    rules: AttemptRules,
    pub(super) outbox: Outbox,
    workers: Vec<Worker>,
    /// Acceptances by the peer, of each key.
    pub(super) accepted: BTreeMap<String, u32>,
    /// Until when each destination is away.
    away_until: BTreeMap<&'static str, Duration>,
    /// Each worker's probes, by effect: row, fence, and when its lease ends.
    pub(super) probes: BTreeMap<usize, BTreeMap<String, (i64, i64, Duration)>>,
    began: Instant,
    pub(super) now: Duration,
    pub(super) chaos: bool,
    pub(super) broken: Option<String>,
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
            probes: BTreeMap::new(),
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
        self.rest();
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Nothing waits any more, and workers have looked.
    fn rest(&mut self) {
        self.now += 4 * LEASE;
        for worker in 0..WORKERS {
            self.lease(worker);
            if let Some(effect) = self.workers[worker].destinations.shut().first() {
                self.broken.get_or_insert_with(|| format!("{effect} counts as away, though nothing waits for it"));
            }
        }
    }

    /// Fresh rows now and then, among many that always fail.
    pub(super) fn live_beside_bad_rows(&mut self) -> Result<(), String> {
        self.rules = AttemptRules::new(&DispatchConfig { max_attempts: ALWAYS, ..self.config.clone() });
        self.chaos = false;
        let plan = |world: &mut Self, key: &str| {
            world.outbox.insert(key, (EFFECTS[1], "email"), AmbiguousPolicy::Resend, world.now).unwrap()
        };
        for number in 0..BAD_ROWS {
            let id = plan(self, &format!("bad {number}"));
            self.outbox.rows.get_mut(&id).unwrap().attempts = 1;
        }
        for number in 0..10 {
            for _ in 0..self.random.below(500) {
                self.step();
            }
            let (key, planned_at) = (format!("fresh {number}"), self.now);
            plan(self, &key);
            while !self.accepted.contains_key(&key) {
                self.step();
                if self.now > planned_at + FRESH_WITHIN {
                    return Err(format!("{key} waits for {FRESH_WITHIN:?} behind rows that always fail"));
                }
            }
            self.log.note("a fresh row is sent", || format!("{key}, after {:?}", self.now - planned_at));
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
        let number = self.random.below(24);
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
            self.probes.remove(&worker);
            self.log.note("a worker ends", || format!("worker {worker}"));
        } else {
            self.workers[worker].still_until = self.now + Duration::from_millis(self.random.below(3_000));
            self.log.note("a worker freezes", || format!("worker {worker}"));
        }
    }

    fn instant(&self) -> Instant {
        self.began + self.now
    }

    /// Leases as many rows as there are free slots, as the dispatcher does.
    fn lease(&mut self, worker: usize) {
        let free = SLOTS - self.workers[worker].sends.len();
        if free == 0 {
            return;
        }
        let (destinations, now) = (self.workers[worker].destinations.clone(), self.instant());
        let desk = Desk::of(worker, self);
        let leased = leasing::lease(&desk, &destinations, free, now).now_or_never().expect("it waits for nothing");
        let (heard, failed) = desk.heard();
        let leases = match leased {
            Ok(_leased_before) if failed && self.bug == Some(Bug::LeasedAndDropped) => Vec::new(),
            Ok(leases) => leases,
            Err(_nothing_was_leased) => Vec::new(),
        };
        if heard != leases.iter().map(|lease| (lease.id, lease.fence)).collect::<Vec<_>>() {
            self.broken = Some(format!("of the leases {heard:?}, some are dropped"));
        }
        let send = |lease| Send { lease, leased_at: self.now, stage: Stage::Leased };
        self.workers[worker].sends.extend(leases.into_iter().map(send));
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
            Stage::Performed(settlement) => {
                let settling = Settling { id: send.lease.id, fence: send.lease.fence, settlement };
                let settled = Desk::of(worker, self).settle(std::slice::from_ref(&settling)).now_or_never();
                let Err(_unheard) = settled.unwrap().map(|settled| self.told(&settling, settled[0])) else { return };
                send.stage = Stage::Unheard(settling.settlement);
            }
            Stage::Unheard(settlement) => {
                let settling = Settling { id: send.lease.id, fence: send.lease.fence, settlement };
                let settled = Desk::of(worker, self).settle_again(&settling).now_or_never();
                let Err(_unheard) = settled.unwrap().map(|settled| self.told(&settling, settled)) else { return };
                send.stage = Stage::Unheard(settling.settlement);
            }
        }
        self.workers[worker].sends.push(send);
    }

    fn ended(&mut self, worker: usize, send: &Send, performance: Performance) -> Settlement {
        let (destinations, lease) = (self.workers[worker].destinations.clone(), &send.lease);
        let was_shut = destinations.shut().contains(&lease.effect);
        let probes = self.probes.entry(worker).or_default();
        let mut heard_of = lease.clone();
        if let Some((id, fence, _)) = probes.get(&lease.effect).filter(|_| self.bug == Some(Bug::AnyEndIsTheProbes)) {
            (heard_of.id, heard_of.fence) = (*id, *fence);
        }
        destinations.hear(&heard_of, Word::of(&performance), self.began + self.now);
        let is_shut = destinations.shut().contains(&lease.effect);
        if !is_shut || probes.get(&lease.effect).is_some_and(|(id, fence, _)| (*id, *fence) == (lease.id, lease.fence))
        {
            probes.remove(&lease.effect);
        }
        if was_shut && !is_shut {
            self.log.note("a destination is back", || lease.effect.clone());
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
            _ if send.lease.dedupe_key.starts_with("bad") => (false, "a bad row", Performance::NotSent(String::new())),
            4.. if is_away => (false, "the peer is away", Performance::NotSent(String::new())),
            0 => (false, "the peer refuses for good", Performance::Refused(String::new())),
            1 => (false, "the peer refuses for now", Performance::NotSent(String::new())),
            2 => (false, "the peer declines", Performance::Declined { after: None, error: String::new() }),
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

    /// The worker has heard how its settlement went, and tells of a lease that was lost.
    fn told(&mut self, settling: &Settling, settled: Settled) {
        if settled == Settled::LeaseLost && !self.outbox.rows[&settling.id].ambiguous {
            self.broken = Some(format!("row {} is told as ambiguous, and is not", settling.id));
        }
    }
}

impl Worker {
    fn start(config: &DispatchConfig) -> Self {
        let destinations = Destinations::new(config, BTreeMap::new());
        Self { sends: Vec::new(), destinations, still_until: Duration::ZERO }
    }
}
