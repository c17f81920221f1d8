//! The last hour of what flowed, a tick every two seconds. Bounded by construction.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::INTERVAL;
use super::counts::Counts;
use super::flow::{Batches, Flow, Requests};

/// Ticks of an hour.
const TICKS: usize = 1_800;
/// The work queue's place among the queues.
pub(crate) const WORK: usize = 0;

/// What happened between two looks, and what stood at the second.
#[derive(Debug, Clone)]
pub(crate) struct Tick {
    pub(crate) at: OffsetDateTime,
    pub(crate) flow: Flow,
    /// Messages ready in each queue, the work queue first; empty when that is not known.
    pub(crate) ready: Vec<Option<u32>>,
    /// Webhooks' files in all spools.
    pub(crate) spool_files: u64,
}

/// The last hour.
#[derive(Debug, Default)]
pub(crate) struct Ring(VecDeque<Tick>);

/// For how long the head of a queue has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadAge {
    pub(crate) seconds: i64,
    pub(crate) bound: Bound,
}

/// On which side of the truth a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtMost,
    /// It waited already when this console began to look, or when the broker was back, or for longer than an hour.
    AtLeast,
}

impl Tick {
    /// Messages ready in a queue; `None` when that is not known.
    pub(crate) fn ready(&self, queue: usize) -> Option<u32> {
        self.ready.get(queue).copied().flatten()
    }

    /// Messages that workers have taken out of the work queue for good.
    fn handled(&self) -> f64 {
        let Counts { processed, duplicates, retried, parked, .. } = self.flow.counts;
        processed + duplicates + retried + parked
    }
}

impl Ring {
    /// Adds a tick; the oldest goes when it is full.
    pub(crate) fn push(&mut self, tick: Tick) {
        if self.0.len() == TICKS {
            self.0.pop_front();
        }
        self.0.push_back(tick);
    }

    /// All ticks, the oldest first.
    pub(crate) fn ticks(&self) -> impl DoubleEndedIterator<Item = &Tick> {
        self.0.iter()
    }

    /// What flowed within the last so many seconds, and how many seconds that really were.
    pub(crate) fn last(&self, seconds: i64) -> (Counts, f64) {
        let (counts, ticks) = self
            .within(seconds)
            .fold((Counts::default(), 0u32), |(sum, ticks), tick| (sum.plus(&tick.flow.counts), ticks + 1));
        (counts, f64::from(ticks) * INTERVAL.as_secs_f64())
    }

    /// What was asked within the last so many seconds, by source.
    pub(crate) fn requests(&self, seconds: i64) -> BTreeMap<&str, Requests> {
        let mut sums: BTreeMap<&str, Requests> = BTreeMap::new();
        for (source, requests) in self.within(seconds).flat_map(|tick| &tick.flow.requests) {
            let sum = sums.entry(source).or_default();
            *sum = sum.plus(*requests);
        }
        sums
    }

    /// What a worker committed within the last so many seconds.
    pub(crate) fn batches(&self, worker: &str, seconds: i64) -> Batches {
        let batches = self.within(seconds).filter_map(|tick| tick.flow.batches.get(worker));
        batches.fold(Batches::default(), |sum, batches| sum.plus(*batches))
    }

    fn within(&self, seconds: i64) -> impl Iterator<Item = &Tick> {
        let from = self.0.back().map(|newest| newest.at - time::Duration::seconds(seconds));
        self.0.iter().rev().take_while(move |tick| from.is_some_and(|from| tick.at > from))
    }

    /// For how long the head of a queue has waited: first in, first out, so it came when as many had come as have left by
    /// now. `None` when the queue is empty, or that is not known.
    ///
    /// What left the work queue is counted by the workers. Of another queue, only that is known to have left by which it was
    /// seen to shrink, so the bound is wide while messages come and go, and there is none until it was seen empty once.
    pub(crate) fn head_age(&self, queue: usize) -> Option<HeadAge> {
        let newest = self.0.back()?;
        newest.ready(queue).filter(|ready| *ready > 0)?;
        // Walking back, what left since then: while the queue then held no more than has left, its tail is out by now.
        let (mut left, mut seconds) = (0.0, 0);
        let mut newer: Option<(&Tick, f64)> = None;
        for tick in self.0.iter().rev() {
            let Some(held) = tick.ready(queue).map(f64::from) else { break };
            if let Some((newer, then)) = newer {
                let counted = if queue == WORK { newer.handled() } else { 0.0 };
                left += counted.max(held - then);
            }
            seconds = (newest.at - tick.at).whole_seconds();
            if held <= left || held == 0.0 {
                return Some(HeadAge { seconds, bound: Bound::AtMost });
            }
            newer = Some((tick, held));
        }
        // More may have left another queue than it was seen to shrink by.
        (queue == WORK).then_some(HeadAge { seconds, bound: Bound::AtLeast })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: usize = 1;

    /// What the work queue and another one held, and what workers processed.
    fn ring(ticks: &[(Option<u32>, f64)]) -> Ring {
        let mut ring = Ring::default();
        for (at, (ready, processed)) in (0..).zip(ticks) {
            let at = OffsetDateTime::UNIX_EPOCH + INTERVAL * at;
            let counts = Counts { processed: *processed, ..Counts::default() };
            let flow = Flow { counts, ..Flow::default() };
            ring.push(Tick { at, flow, ready: vec![*ready; 2], spool_files: 0 });
        }
        ring
    }

    fn age(seconds: i64, bound: Bound) -> Option<HeadAge> {
        Some(HeadAge { seconds, bound })
    }

    #[test]
    fn the_heads_age_is_when_the_queue_held_no_more_than_has_left_since() {
        assert_eq!(ring(&[]).head_age(WORK), None);
        assert_eq!(ring(&[(Some(5), 0.0), (Some(0), 5.0)]).head_age(WORK), None, "it is empty");
        // Nothing leaves: the head is as old as the time since the queue was empty.
        let grows = ring(&[(Some(0), 0.0), (Some(3), 0.0), (Some(7), 0.0), (Some(9), 0.0)]);
        assert_eq!(grows.head_age(WORK), age(6, Bound::AtMost));
        assert_eq!(grows.head_age(OTHER), age(6, Bound::AtMost));
        // Ten leave a tick and ten wait: what waits came within about one tick. Of another queue that is not counted.
        let flows = ring(&[(Some(10), 10.0), (Some(10), 10.0), (Some(10), 10.0), (Some(10), 10.0)]);
        assert_eq!(flows.head_age(WORK), age(2, Bound::AtMost));
        assert_eq!(flows.head_age(OTHER), None);
    }

    #[test]
    fn what_another_queue_lost_is_what_it_shrank_by() {
        // Four came, three of them and one more left, two are new.
        let ring = ring(&[(Some(0), 0.0), (Some(4), 0.0), (Some(1), 0.0), (Some(3), 0.0), (Some(2), 0.0)]);
        assert_eq!(ring.head_age(OTHER), age(4, Bound::AtMost));
    }

    #[test]
    fn what_waited_before_the_first_look_has_waited_for_longer() {
        let ring = ring(&[(Some(3), 0.0), (Some(3), 0.0)]);
        assert_eq!(ring.head_age(WORK), age(2, Bound::AtLeast));
        assert_eq!(ring.head_age(OTHER), None, "it may have been exchanged for others");
        let unknown = self::ring(&[(Some(0), 0.0), (None, 0.0), (Some(3), 0.0), (Some(3), 0.0)]);
        assert_eq!(unknown.head_age(WORK), age(2, Bound::AtLeast), "the broker was away in between");
    }

    #[test]
    fn the_ring_is_bounded_and_its_last_minute_is_summed() {
        let mut long = ring(&[]);
        for at in 0..2_000u32 {
            let at = OffsetDateTime::UNIX_EPOCH + INTERVAL * at;
            let mut flow = Flow { counts: Counts { received: 1.0, ..Counts::default() }, ..Flow::default() };
            flow.requests.insert("shop".to_owned(), Requests { received: 2.0, forged: 1.0 });
            flow.batches.insert("w:1".to_owned(), Batches { committed: 1.0, webhooks: 7.0 });
            long.push(Tick { at, flow, ready: Vec::new(), spool_files: 0 });
        }
        assert_eq!(long.ticks().count(), TICKS);
        let (counts, seconds) = long.last(60);
        assert_eq!((counts.received, seconds), (30.0, 60.0));
        assert_eq!(long.requests(60)["shop"], Requests { received: 60.0, forged: 30.0 });
        assert_eq!(long.batches("w:1", 60), Batches { committed: 30.0, webhooks: 210.0 });
        assert_eq!(long.batches("w:2", 60).mean(), None);
    }
}
