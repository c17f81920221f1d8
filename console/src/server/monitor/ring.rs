//! The last hour of what flowed, a tick every two seconds. Bounded by construction.

use std::collections::VecDeque;

use time::OffsetDateTime;

use super::INTERVAL;
use super::counts::Counts;

/// Ticks of an hour.
const TICKS: usize = 1_800;

/// What happened between two looks, and what stood at the second.
#[derive(Debug, Clone)]
pub(crate) struct Tick {
    pub(crate) at: OffsetDateTime,
    pub(crate) counts: Counts,
    /// Messages ready in the work queue; `None` when that is not known.
    pub(crate) ready: Option<u32>,
    /// Webhooks' files in all spools.
    pub(crate) spool_files: u64,
}

/// The last hour.
#[derive(Debug, Default)]
pub(crate) struct Ring(VecDeque<Tick>);

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
        let Some(newest) = self.0.back() else { return (Counts::default(), 0.0) };
        let from = newest.at - time::Duration::seconds(seconds);
        let ticks: Vec<&Tick> = self.0.iter().rev().take_while(|tick| tick.at > from).collect();
        let counts = ticks.iter().fold(Counts::default(), |sum, tick| sum.plus(&tick.counts));
        (counts, ticks.len() as f64 * INTERVAL.as_secs_f64())
    }

    /// For how long the head of the work queue has waited at most, in seconds: first in, first out, so it came when as
    /// many had come as have left by now. `None` when the queue is empty or not known.
    pub(crate) fn head_age_s(&self) -> Option<i64> {
        let newest = self.0.back()?;
        let ready = f64::from(newest.ready.filter(|ready| *ready > 0)?);
        // Walking back, what left since then: while the queue then held no more than has left, its tail is out by now.
        let mut left = 0.0;
        let mut age = 0;
        for tick in self.0.iter().rev() {
            let held = f64::from(tick.ready?);
            age = (newest.at - tick.at).whole_seconds();
            if held <= left || (held == 0.0 && ready > 0.0) {
                return Some(age);
            }
            left += tick.counts.processed + tick.counts.duplicates + tick.counts.retried + tick.counts.parked;
        }
        Some(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ticks: &[(Option<u32>, f64)]) -> Ring {
        let mut ring = Ring::default();
        for (at, (ready, processed)) in (0..).zip(ticks) {
            let at = OffsetDateTime::UNIX_EPOCH + INTERVAL * at;
            let counts = Counts { processed: *processed, ..Counts::default() };
            ring.push(Tick { at, counts, ready: *ready, spool_files: 0 });
        }
        ring
    }

    #[test]
    fn the_heads_age_is_when_the_queue_held_no_more_than_has_left_since() {
        assert_eq!(ring(&[]).head_age_s(), None);
        assert_eq!(ring(&[(Some(5), 0.0), (Some(0), 5.0)]).head_age_s(), None, "it is empty");
        // Nothing leaves: the head is as old as the time since the queue was empty.
        assert_eq!(ring(&[(Some(0), 0.0), (Some(3), 0.0), (Some(7), 0.0), (Some(9), 0.0)]).head_age_s(), Some(6));
        // Ten leave a tick and ten wait: what waits came within about one tick.
        assert_eq!(
            ring(&[(Some(10), 10.0), (Some(10), 10.0), (Some(10), 10.0), (Some(10), 10.0)]).head_age_s(),
            Some(2)
        );
    }

    #[test]
    fn the_ring_is_bounded_and_its_last_minute_is_summed() {
        let mut long = ring(&[]);
        for at in 0..2_000u32 {
            let at = OffsetDateTime::UNIX_EPOCH + INTERVAL * at;
            long.push(Tick { at, counts: Counts { received: 1.0, ..Counts::default() }, ready: None, spool_files: 0 });
        }
        assert_eq!(long.ticks().count(), TICKS);
        let (counts, seconds) = long.last(60);
        assert_eq!((counts.received, seconds), (30.0, 60.0));
    }
}
