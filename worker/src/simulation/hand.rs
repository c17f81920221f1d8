//! One lane of one worker: does what [`Desk`] says, a step at a time, so that anything can happen
//! between two steps.
//!
//! It stands for `consumer.rs` and `moves.rs`, without their I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use shared::config::ChangedBody;
use shared::message::DecodeError;
use shared::provider::Catalogue;
use testing::simulation::Random;

use super::Bug;
use super::broker::{Broker, DELAYS, Delivery, Target};
use super::database::Database;
use super::webhooks::{Kind, Webhook, number, shop};
use super::work::{Died, Work, Worked};
use crate::batch::{Arrival, Defect, Verdict};
use crate::batcher::cut_by_bytes;
use crate::bundles::Bundles;
use crate::ladder::Ladder;
use crate::lane::{Ack, Desk, Destination, Lane, Move, Sorter, Taken};
use crate::rules::Rules;

const BATCH_SIZE: usize = 5;
const BATCH_BYTES: usize = 120;
const PREFETCH: usize = 12;
const SUSPECT_AFTER: i64 = 3;

/// What a hand works with and on.
pub(super) struct Surroundings<'w> {
    pub(super) broker: &'w mut Broker,
    pub(super) database: &'w mut Database,
    pub(super) webhooks: &'w BTreeMap<u64, Webhook>,
    pub(super) random: &'w mut Random,
    pub(super) chaos: bool,
}

/// What a step was.
pub(super) enum Did {
    Nothing,
    Something(&'static str),
    /// It planned a webhook that ends whoever plans it.
    Died,
    /// It said a word to the broker that it must not say.
    Lied(String),
}

/// One lane of one worker.
pub(super) struct Hand {
    /// Its channel's number.
    number: usize,
    lane: Lane,
    bug: Option<Bug>,
    ladder: Ladder,
    rules: Rules,
    desk: Desk,
    connected: bool,
    /// Taken, and not yet in work.
    parts: VecDeque<Vec<Taken<u64>>>,
    work: Option<Work>,
    moves: Vec<Move<u64>>,
    /// Deliveries whose message has arrived where it moves.
    arrived: BTreeSet<u64>,
    /// To be said to the broker.
    words: VecDeque<Ack<u64>>,
}

impl Hand {
    pub(super) fn new(number: usize, lane: Lane, bug: Option<Bug>) -> Self {
        // The first worker's configuration is not that of the others: somebody is changing it.
        let on_changed_body = if number < 3 { ChangedBody::Park } else { ChangedBody::Flag };
        let rules = Rules {
            on_its_way: BTreeMap::from([(shop(), Duration::from_secs(24 * 3600))]),
            changed_body: HashMap::from([(shop(), on_changed_body)]),
            replay_defence: HashMap::new(),
            bundles: Bundles::new(Catalogue::default()),
            operator: None,
        };
        Self {
            number,
            lane,
            bug,
            ladder: Ladder::new(DELAYS.to_vec()),
            rules,
            desk: Desk::default(),
            connected: false,
            parts: VecDeque::new(),
            work: None,
            moves: Vec::new(),
            arrived: BTreeSet::new(),
            words: VecDeque::new(),
        }
    }

    /// Whether it has nothing in hand.
    pub(super) fn is_idle(&self) -> bool {
        self.parts.is_empty() && self.work.is_none() && self.moves.is_empty() && self.words.is_empty()
    }

    /// What it is at, for whoever reads the log.
    pub(super) fn describe(&self) -> String {
        self.work.as_ref().map(Work::describe).unwrap_or_default()
    }

    /// Its connection or its process is gone, and with it all that it had in hand. What it had said
    /// last may yet be heard, by the broker and by the database.
    pub(super) fn lose(&mut self, broker: &mut Broker, database: &mut Database, random: &mut Random) {
        if let Some(work) = self.work.take() {
            work.abandon(database);
        }
        for moving in self.moves.drain(..) {
            if random.once_in(3) {
                broker.publish(target(moving.to), moving.message);
            }
        }
        broker.lose(self.number, random);
        *self = Self::new(self.number, self.lane, self.bug);
    }

    /// One step of what it has to do.
    pub(super) fn step(&mut self, world: &mut Surroundings<'_>) -> Did {
        if !self.connected {
            self.connected = true;
            let prefetch = if self.lane == Lane::Work { PREFETCH } else { 1 };
            world.broker.consume(self.number, self.lane, prefetch);
            return Did::Something("consumes");
        }
        // A frozen worker's connection is given up by the broker; it learns of that when it speaks.
        if self.work.is_none() && !world.broker.knows(self.number) {
            self.lose(world.broker, world.database, world.random);
            return Did::Something("a worker learns that its connection is gone");
        }
        if let Some(word) = self.words.pop_front() {
            return self.say(word, world);
        }
        if !self.moves.is_empty() && world.random.once_in(3) {
            return self.publish_one(world);
        }
        if let Some(work) = self.work.take() {
            return self.work(work, world);
        }
        match self.parts.pop_front() {
            Some(part) => self.begin(part, world),
            None => self.take(world),
        }
    }

    fn take(&mut self, world: &mut Surroundings<'_>) -> Did {
        let taken = world.broker.take(self.number, BATCH_SIZE);
        if taken.is_empty() {
            return Did::Nothing;
        }
        let taken = taken.into_iter().map(|delivery| self.taken(delivery, world.webhooks)).collect();
        self.parts = cut_by_bytes(taken, BATCH_BYTES, |taken| taken.arrival.message.body.len()).into();
        Did::Something("takes a batch")
    }

    fn taken(&self, delivery: Delivery, webhooks: &BTreeMap<u64, Webhook>) -> Taken<u64> {
        let Delivery { tag, message, deliveries } = delivery;
        let defect = match webhooks[&number(&message.id)].kind {
            _ if self.lane == Lane::Dead => Some(Defect::DeadLettered),
            Kind::Unreadable => Some(Defect::Unreadable(DecodeError::BodyAltered)),
            _ => None,
        };
        Taken { acker: tag, arrival: Arrival { message, defect }, deliveries }
    }

    fn begin(&mut self, part: Vec<Taken<u64>>, world: &mut Surroundings<'_>) -> Did {
        let sorted = Sorter { lane: self.lane, suspect_after: SUSPECT_AFTER }.sort(part);
        self.desk.isolate(&sorted.isolated);
        self.relocate(sorted.isolated);
        match Work::begin(sorted.held, sorted.arrivals, &self.rules, world.webhooks) {
            Ok(work) => self.work = Some(work),
            Err(Died) => return Did::Died,
        }
        Did::Something("plans a batch")
    }

    fn work(&mut self, mut work: Work, world: &mut Surroundings<'_>) -> Did {
        match work.step(world.database, &self.ladder, &self.rules) {
            Worked::On(what) => {
                if self.bug == Some(Bug::AckedEarly) && work.is_complete() {
                    self.words.extend(work.held.last().map(|held| Ack::UpTo(*held.acker())));
                }
                self.work = Some(work);
                Did::Something(what)
            }
            Worked::Done(verdicts) => self.settle(work, verdicts),
        }
    }

    fn settle(&mut self, work: Work, verdicts: Vec<Verdict>) -> Did {
        let mut settled = self.desk.settle(work.held, verdicts);
        if self.bug == Some(Bug::AckedUpToWhileMoving) {
            let last = settled.acks.last().map(|(Ack::UpTo(tag) | Ack::One(tag))| Ack::UpTo(*tag));
            settled.acks = last.into_iter().collect();
        }
        self.relocate(settled.moves);
        self.words.extend(settled.acks);
        Did::Something("settles a batch")
    }

    /// Begins moves.
    fn relocate(&mut self, moves: Vec<Move<u64>>) {
        for mut moving in moves {
            if self.bug == Some(Bug::MovesAckedEarly) {
                self.words.push_back(self.desk.moved(moving.acker));
            }
            if self.bug == Some(Bug::AttemptsLost) {
                moving.message.attempt = 0;
            }
            self.moves.push(moving);
        }
    }

    /// Publishes a message that moves: it arrives or not, and whether it did is heard or not.
    fn publish_one(&mut self, world: &mut Surroundings<'_>) -> Did {
        let place = world.random.index(self.moves.len());
        let moving = &self.moves[place];
        let (arrives, confirmed) = match world.random.below(10) {
            0 if world.chaos => (false, false),
            1 if world.chaos => (true, false),
            _ => (true, true),
        };
        if arrives {
            let to = if self.bug == Some(Bug::SuspectsReturned) { Target::Work } else { target(moving.to) };
            world.broker.publish(to, moving.message.clone());
            self.arrived.insert(moving.acker);
        }
        if !confirmed {
            return Did::Something("a move that is not confirmed");
        }
        let moved = self.moves.swap_remove(place);
        if self.bug != Some(Bug::MovesAckedEarly) {
            self.words.push_back(self.desk.moved(moved.acker));
        }
        Did::Something("a confirmed move")
    }

    /// Says a word to the broker, which must be true of all that it covers.
    fn say(&mut self, word: Ack<u64>, world: &mut Surroundings<'_>) -> Did {
        let covered = world.broker.covers(self.number, word);
        let is_lie = |tag: u64, id: &str| !self.arrived.contains(&tag) && !world.database.has_settled(number(id));
        if let Some((_, message)) = covered.into_iter().find(|(tag, message)| is_lie(*tag, &message.id)) {
            return Did::Lied(format!("{} is acknowledged, and neither committed nor moved", message.id));
        }
        world.broker.say(self.number, word);
        Did::Something("acknowledges")
    }
}

fn target(to: Destination) -> Target {
    match to {
        Destination::Suspects => Target::Suspects,
        Destination::Ladder(delay) => Target::Ladder(delay),
    }
}
