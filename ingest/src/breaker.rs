//! The breaker: while the broker is known to take nothing, webhooks go straight to the spool and are answered fast.
//!
//! Some failures in a row open it. Open, it lets one webhook try in a while (each pause longer than the last, up to
//! a bound), and closes as soon as one is confirmed, be it such a probe or one of the drainer's. A probe that never
//! tells how it went (its sender hung up) is forgotten after a while. Time is told from outside, so all of this is
//! pure.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// The first pause between probes, doubled after each that fails.
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Open or closed. One for all requests.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Webhooks are published.
    Closed { failures: u32 },
    /// They are not, until a probe may go.
    Open { probe_at: Instant, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether this webhook may be published. Open, it takes the next probe's place.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => true,
            State::Open { probe_at, pause } if now >= probe_at => {
                // The next probe's time is set before this one is known to have failed: it may never tell.
                let pause = (pause * 2).min(MAX_PAUSE);
                *state = State::Open { probe_at: now + pause, pause };
                true
            }
            State::Open { .. } => false,
        }
    }

    /// A publish was confirmed.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        if matches!(*state, State::Open { .. }) {
            tracing::info!("the broker confirms again: webhooks are published");
        }
        *state = State::default();
    }

    /// A publish was not confirmed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.state();
        if let State::Closed { failures } = *state {
            *state = if failures + 1 < FAILURES {
                State::Closed { failures: failures + 1 }
            } else {
                tracing::warn!("the broker confirms nothing: webhooks go to the spool");
                State::Open { probe_at: now + MIN_PAUSE, pause: MIN_PAUSE }
            };
        }
    }

    /// Whether webhooks are published.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed { .. })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.is_closed() && breaker.lets_through(now));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.is_closed());
        assert!(!opened(now).is_closed());
    }

    #[test]
    fn one_probe_at_a_time_goes_through_and_a_confirm_closes_it() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let began = now;
            while !breaker.lets_through(now) {
                now += Duration::from_millis(100);
            }
            assert!(!breaker.lets_through(now), "two probes at once");
            pauses.push(now - began);
            breaker.failed(now);
        }
        assert!(pauses.is_sorted() && *pauses.last().unwrap() <= MAX_PAUSE, "{pauses:?}");
        breaker.succeeded();
        assert!(breaker.is_closed() && breaker.lets_through(now));
    }

    /// A probe that never tells is followed by another one.
    #[test]
    fn a_lost_probe_does_not_keep_it_open() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.lets_through(now + MAX_PAUSE));
        assert!(breaker.lets_through(now + MAX_PAUSE * 3));
    }
}
