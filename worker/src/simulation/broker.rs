//! A broker in memory: quorum queues with delivery counts and limits, a ladder with its delays, and
//! connections on which words get lost.
//!
//! As RabbitMQ does it: what was delivered and not acknowledged goes back to the front of its queue
//! when the connection is lost, and was delivered once more; beyond its limit it is a dead letter; a
//! dead-lettered hop is done at least once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::message::Message;
use testing::simulation::Random;

use crate::lane::{Ack, Lane};

/// Returns after which a queue gives a message up; small, so that lives are short.
const WORK_LIMIT: i64 = 6;
const SUSPECT_LIMIT: i64 = 3;

/// The delays of the ladder.
pub(super) const DELAYS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(3_000)];

/// Where a message is published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Work,
    Suspects,
    Ladder(Duration),
}

/// A message on a queue.
struct Copy {
    message: Message,
    /// How often it was delivered and came back.
    deliveries: i64,
}

/// A consumer on a connection of its own.
struct Channel {
    lane: Lane,
    prefetch: usize,
    last_tag: u64,
    unacked: BTreeMap<u64, Copy>,
    /// Delivered, and not yet taken.
    inbox: VecDeque<u64>,
    /// Said, and not yet heard by the broker.
    acks: VecDeque<Ack<u64>>,
}

/// A delivery as the worker sees it.
pub(super) struct Delivery {
    pub(super) tag: u64,
    pub(super) message: Message,
    pub(super) deliveries: i64,
}

#[derive(Default)]
pub(super) struct Broker {
    queues: BTreeMap<Lane, VecDeque<Copy>>,
    /// What waits on the ladder, and until when.
    ladder: Vec<(u64, Message)>,
    channels: BTreeMap<usize, Channel>,
    now_ms: u64,
    /// Kinds of what happened.
    pub(super) seen: BTreeSet<&'static str>,
}

impl Broker {
    pub(super) fn publish(&mut self, to: Target, message: Message) {
        match to {
            Target::Work => self.enqueue(Lane::Work, message),
            Target::Suspects => self.enqueue(Lane::Suspect, message),
            Target::Ladder(delay) => {
                self.ladder.push((self.now_ms + u64::try_from(delay.as_millis()).unwrap(), message));
            }
        }
    }

    fn enqueue(&mut self, lane: Lane, message: Message) {
        self.queues.entry(lane).or_default().push_back(Copy { message, deliveries: 0 });
    }

    /// Time passes, and delays end; at times a hop from the ladder is done twice.
    pub(super) fn pass(&mut self, time_ms: u64, random: &mut Random) {
        self.now_ms += time_ms;
        let due: Vec<_> = self.ladder.extract_if(.., |(until_ms, _)| *until_ms <= self.now_ms).collect();
        for (_, message) in due {
            if random.once_in(20) {
                self.seen.insert("a hop from the ladder is done twice");
                self.ladder.push((self.now_ms + 100, message.clone()));
            }
            self.enqueue(Lane::Work, message);
        }
    }

    pub(super) fn consume(&mut self, channel: usize, lane: Lane, prefetch: usize) {
        let (unacked, inbox, acks) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        self.channels.insert(channel, Channel { lane, prefetch, last_tag: 0, unacked, inbox, acks });
    }

    /// Delivers one message on a channel, if it may; tells which.
    pub(super) fn deliver(&mut self, channel: usize) -> Option<&Message> {
        let channel = self.channels.get_mut(&channel)?;
        if channel.unacked.len() >= channel.prefetch {
            return None;
        }
        let copy = self.queues.get_mut(&channel.lane)?.pop_front()?;
        channel.last_tag += 1;
        channel.inbox.push_back(channel.last_tag);
        Some(&channel.unacked.entry(channel.last_tag).or_insert(copy).message)
    }

    /// The worker takes what has been delivered.
    pub(super) fn take(&mut self, channel: usize, most: usize) -> Vec<Delivery> {
        let Some(channel) = self.channels.get_mut(&channel) else { return Vec::new() };
        let taken: Vec<u64> = channel.inbox.drain(..most.min(channel.inbox.len())).collect();
        let delivery = |tag: u64| {
            let Copy { message, deliveries } = &channel.unacked[&tag];
            Delivery { tag, message: message.clone(), deliveries: *deliveries }
        };
        taken.into_iter().map(delivery).collect()
    }

    /// The worker says a word; it has not arrived.
    pub(super) fn say(&mut self, channel: usize, ack: Ack<u64>) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.acks.push_back(ack);
        }
    }

    /// What a word would acknowledge, if it arrived now.
    pub(super) fn covers(&self, channel: usize, ack: Ack<u64>) -> Vec<(u64, &Message)> {
        let Some(channel) = self.channels.get(&channel) else { return Vec::new() };
        let covered = match ack {
            Ack::UpTo(tag) => channel.unacked.range(..=tag),
            Ack::One(tag) => channel.unacked.range(tag..=tag),
        };
        covered.map(|(tag, copy)| (*tag, &copy.message)).collect()
    }

    /// The broker hears one word.
    pub(super) fn hear(&mut self, channel: usize) -> bool {
        let Some(channel) = self.channels.get_mut(&channel) else { return false };
        match channel.acks.pop_front() {
            None => return false,
            Some(Ack::UpTo(tag)) => channel.unacked = channel.unacked.split_off(&(tag + 1)),
            Some(Ack::One(tag)) => drop(channel.unacked.remove(&tag)),
        }
        true
    }

    /// A connection is lost: some of the words under way still arrive, the rest never.
    pub(super) fn lose(&mut self, channel: usize, random: &mut Random) {
        let under_way = self.channels.get(&channel).map_or(0, |channel| channel.acks.len());
        for _ in 0..random.index(under_way + 1) {
            self.hear(channel);
        }
        let Some(channel) = self.channels.remove(&channel) else { return };
        for (_, mut copy) in channel.unacked.into_iter().rev() {
            copy.deliveries += 1;
            let limit = match channel.lane {
                Lane::Work | Lane::Elements => WORK_LIMIT,
                Lane::Suspect => SUSPECT_LIMIT,
                Lane::Dead => i64::MAX,
            };
            if copy.deliveries > limit {
                self.seen.insert("a dead letter");
                self.enqueue(Lane::Dead, copy.message);
            } else {
                self.queues.entry(channel.lane).or_default().push_front(copy);
            }
        }
    }

    /// Whether it still knows a consumer.
    pub(super) fn knows(&self, channel: usize) -> bool {
        self.channels.contains_key(&channel)
    }

    /// What is left on it, anywhere.
    pub(super) fn rest(&self) -> usize {
        let queued: usize = self.queues.values().map(VecDeque::len).sum();
        let unacked: usize = self.channels.values().map(|channel| channel.unacked.len() + channel.acks.len()).sum();
        queued + unacked + self.ladder.len()
    }
}
