//! The outbox as one worker reaches it: the model behind [`Rows`], with answers that get lost.

use std::cell::{Cell, RefCell};

use shared::db::outbox::{Lease, Settled, Settling};
use testing::outbox::State;

use super::Bug;
use super::world::{LEASE, World};
use crate::dispatch::Rows;

const KINDS: [&str; 1] = ["email"];

/// One worker's.
pub(super) struct Desk<'w> {
    world: RefCell<&'w mut World>,
    worker: usize,
    /// The leases that the worker has heard of, as rows and fences.
    heard: RefCell<Vec<(i64, i64)>>,
    /// Whether it has asked in vain.
    failed: Cell<bool>,
}

impl<'w> Desk<'w> {
    pub(super) fn of(worker: usize, world: &'w mut World) -> Self {
        Self { world: RefCell::new(world), worker, heard: RefCell::default(), failed: Cell::new(false) }
    }

    /// What it has heard of, and whether it has asked in vain, too.
    pub(super) fn heard(self) -> (Vec<(i64, i64)>, bool) {
        (self.heard.into_inner(), self.failed.get())
    }

    /// An answer that gets lost.
    fn lost<T>(&self) -> Result<T, String> {
        self.failed.set(true);
        Err("the database does not answer".to_owned())
    }
}

impl World {
    /// Whether it is asked in vain.
    fn is_away(&mut self) -> bool {
        let is_away = self.chaos && self.random.once_in(30);
        if is_away {
            self.log.note("the database is away", String::new);
        }
        is_away
    }

    /// Leases rows; `None` when nobody hears of it.
    fn lease_rows(&mut self, worker: usize, ids: &[i64]) -> Option<Vec<Lease>> {
        let is_lost = self.chaos && self.random.once_in(30);
        let mut leases = Vec::new();
        for id in ids.iter().copied() {
            let lease = match self.bug {
                Some(Bug::SentBeforeLeased) => self.outbox.clone().lease(id, LEASE, self.now),
                _ => self.outbox.lease(id, LEASE, self.now),
            };
            match is_lost {
                true => self.log.note("a lease nobody hears of", || format!("row {id}")),
                false => self.log.note("a lease", || format!("row {id} by worker {worker}, fence {}", lease.fence)),
            }
            leases.push(lease);
        }
        (!is_lost).then_some(leases)
    }

    /// Writes a probe down, and that no other one is under way.
    fn probe_begins(&mut self, worker: usize, probe: &Lease) {
        self.log.note("a probe is leased", || format!("row {}, {}", probe.id, probe.effect));
        let others = self.probes.entry(worker).or_default();
        let other = others.insert(probe.effect.clone(), (probe.id, probe.fence, self.now + LEASE));
        if other.is_some_and(|(_, _, ends_at)| ends_at > self.now) {
            self.broken = Some(format!("two probes at once: {other:?} and {probe:?}"));
        }
    }

    fn settle_row(&mut self, Settling { id, fence, settlement }: &Settling) -> Settled {
        let (id, fence) = (*id, *fence);
        let holds = self.outbox.rows.get(&id).is_some_and(|row| row.fence == fence && row.state == State::Sending);
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
        settled
    }
}

impl Rows for Desk<'_> {
    async fn lease(&self, limit: usize, shut: &[&str]) -> Result<Vec<Lease>, String> {
        let world = &mut **self.world.borrow_mut();
        if !shut.is_empty() {
            world.log.note("a destination's rows wait", || format!("{shut:?}"));
        }
        let passed_over = if world.bug == Some(Bug::ProbedTwice) { &[][..] } else { shut };
        let due = world.outbox.due(&KINDS, passed_over, world.now);
        if world.is_away() {
            return self.lost();
        }
        let Some(leases) = world.lease_rows(self.worker, &due[..limit.min(due.len())]) else { return self.lost() };
        if let Some(lease) = leases.iter().find(|lease| shut.contains(&lease.effect.as_str())) {
            world.broken = Some(format!("row {} is begun beside a probe", lease.id));
        }
        self.heard.borrow_mut().extend(leases.iter().map(|lease| (lease.id, lease.fence)));
        Ok(leases)
    }

    async fn lease_probe(&self, effect: &str) -> Result<Option<Lease>, String> {
        let world = &mut **self.world.borrow_mut();
        if world.is_away() {
            return self.lost();
        }
        let candidates = match world.bug {
            Some(Bug::NeverProbed) => Vec::new(),
            Some(Bug::OldestProbed) => {
                let others: Vec<&str> = super::world::EFFECTS.into_iter().filter(|other| *other != effect).collect();
                world.outbox.due(&KINDS, &others, world.now)
            }
            _ => world.outbox.probes(&KINDS, effect, world.now),
        };
        let Some(id) = candidates.first() else {
            world.log.note("a probe finds no row that is due", || effect.to_owned());
            return Ok(None);
        };
        let Some(leases) = world.lease_rows(self.worker, &[*id]) else { return self.lost() };
        leases.iter().for_each(|probe| world.probe_begins(self.worker, probe));
        self.heard.borrow_mut().extend(leases.iter().map(|lease| (lease.id, lease.fence)));
        Ok(leases.into_iter().next())
    }

    async fn is_under_way(&self, effect: &str) -> Result<bool, String> {
        let world = &mut **self.world.borrow_mut();
        if world.is_away() {
            return self.lost();
        }
        let is_under_way = world.outbox.is_under_way(effect);
        if !is_under_way {
            world.log.note("nothing waits for a destination", || effect.to_owned());
        }
        Ok(is_under_way || matches!(world.bug, Some(Bug::NeverClosed | Bug::NeverProbed)))
    }

    async fn settle(&self, settlings: &[Settling]) -> Result<Vec<Settled>, String> {
        let world = &mut **self.world.borrow_mut();
        let is_heard = !world.chaos || !world.random.once_in(8);
        if !is_heard && world.random.once_in(2) {
            world.log.note("the database is away", || format!("{settlings:?}"));
            return self.lost();
        }
        let settled = settlings.iter().map(|settling| world.settle_row(settling)).collect();
        if is_heard {
            return Ok(settled);
        }
        world.log.note("a settlement nobody hears of", || format!("{settlings:?}"));
        self.lost()
    }

    async fn was_settled(&self, settling: &Settling) -> Result<bool, String> {
        let world = &mut **self.world.borrow_mut();
        if world.is_away() {
            return self.lost();
        }
        let was_settled = world.outbox.was_settled(settling);
        if was_settled {
            world.log.note("an attempt was settled already", || format!("{settling:?}"));
        }
        Ok(was_settled && world.bug != Some(Bug::LostAnswerIsLostLease))
    }
}
