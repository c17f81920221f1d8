//! One destination's breaker: while it is known to be away, rows wait and keep their attempts.
//!
//! Some attempts in a row that end without the destination's yes or no open it. Open, it lets one row try in a while (each
//! pause longer than the last, up to a bound), and closes as soon as one is taken, be it such a probe or one that had
//! begun before. A refusal is about its row and says nothing of the others, be it for good or for now. A probe that never
//! tells how it went is forgotten after a while, so that no row waits for ever. Where nothing waits any more there is
//! nothing to be told by: it closes, and the next attempt in vain opens it. Time is told from outside, so all of this is
//! pure.
//!
//! Nothing is promised about workers together: each learns for itself, and forgets when it ends.

use std::time::{Duration, Instant};

use shared::config::DispatchConfig;
use shared::db::outbox::Lease;

use super::Performance;

/// When it opens, and how long it pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakerRules {
    failures: u32,
    min_pause: Duration,
    max_pause: Duration,
    /// After which a probe has ended, whatever became of it: its lease is over.
    probe_ends: Duration,
    /// When to look again for a row to probe with, where none is due.
    look_again: Duration,
}

/// Which attempt: of a row, under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    row: i64,
    fence: i64,
}

/// What an attempt tells of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is there and takes what it is sent.
    Takes,
    /// It is away, or not itself.
    Away,
    /// Nothing: the attempt was never begun, or ended because of its row.
    Nothing,
}

/// How many rows may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lets {
    All,
    /// One, as a probe.
    One,
    None,
}

/// One destination's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Breaker {
    rules: BreakerRules,
    position: Position,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Closed { failures: u32 },
    Open { probe_at: Instant, pause: Duration },
    HalfOpen { probe: Attempt, ends_at: Instant, pause: Duration },
}

impl BreakerRules {
    pub(crate) fn new(config: &DispatchConfig) -> Self {
        Self {
            failures: config.breaker_failures,
            min_pause: Duration::from_millis(config.breaker_min_ms),
            max_pause: Duration::from_millis(config.breaker_max_ms),
            probe_ends: Duration::from_millis(config.lease_ms),
            look_again: Duration::from_millis(config.poll_ms),
        }
    }
}

impl Attempt {
    pub(crate) fn under(lease: &Lease) -> Self {
        Self { row: lease.id, fence: lease.fence }
    }
}

impl Word {
    pub(crate) fn of(performance: &Performance) -> Self {
        match performance {
            Performance::Sent => Self::Takes,
            Performance::NotSent(_) | Performance::Later { .. } | Performance::Unknown(_) => Self::Away,
            Performance::NotBegun | Performance::Declined { .. } | Performance::Refused(_) => Self::Nothing,
        }
    }
}

impl Breaker {
    pub(crate) fn new(rules: BreakerRules) -> Self {
        Self { rules, position: Position::Closed { failures: 0 } }
    }

    /// How many rows may be begun now.
    pub(crate) fn lets(&self, now: Instant) -> Lets {
        match self.position {
            Position::Closed { .. } => Lets::All,
            Position::Open { probe_at: from, .. } | Position::HalfOpen { ends_at: from, .. } if now >= from => {
                Lets::One
            }
            Position::Open { .. } | Position::HalfOpen { .. } => Lets::None,
        }
    }

    /// The probe that was let has been begun.
    pub(crate) fn probe_begins(&mut self, probe: Attempt, now: Instant) {
        if let Position::Open { pause, .. } | Position::HalfOpen { pause, .. } = self.position {
            self.position = Position::HalfOpen { probe, ends_at: now + self.rules.probe_ends, pause };
        }
    }

    /// No row is due that could be the probe; others wait for their time.
    pub(crate) fn finds_no_probe(&mut self, now: Instant) {
        if let Position::Open { pause, .. } | Position::HalfOpen { pause, .. } = self.position {
            self.position = Position::Open { probe_at: now + self.rules.look_again, pause };
        }
    }

    /// No row waits that could be the probe, now or later.
    pub(crate) fn finds_nothing_waiting(&mut self) {
        self.position = Position::Closed { failures: self.rules.failures.saturating_sub(1) };
    }

    /// An attempt has ended, the probe or any other.
    pub(crate) fn hear(&mut self, attempt: Attempt, word: Word, now: Instant) {
        let BreakerRules { failures: enough, min_pause, max_pause, .. } = self.rules;
        self.position = match (self.position, word) {
            (_, Word::Takes) => Position::Closed { failures: 0 },
            (Position::Closed { failures }, Word::Away) if failures + 1 < enough => {
                Position::Closed { failures: failures + 1 }
            }
            (Position::Closed { .. }, Word::Away) => Position::Open { probe_at: now + min_pause, pause: min_pause },
            (Position::HalfOpen { probe, pause, .. }, Word::Away) if probe == attempt => {
                let pause = (pause * 2).min(max_pause);
                Position::Open { probe_at: now + pause, pause }
            }
            // The probe told nothing: the next row may.
            (Position::HalfOpen { probe, pause, .. }, Word::Nothing) if probe == attempt => {
                Position::Open { probe_at: now, pause }
            }
            // An attempt that had begun before it opened brings no news.
            (open @ (Position::Open { .. } | Position::HalfOpen { .. }), Word::Away | Word::Nothing) => open,
            (closed @ Position::Closed { .. }, Word::Nothing) => closed,
        };
    }

    /// What its gauge shows: 0 closed, 1 half-open, 2 open.
    pub(crate) fn degree(&self) -> u8 {
        match self.position {
            Position::Closed { .. } => 0,
            Position::HalfOpen { .. } => 1,
            Position::Open { .. } => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> BreakerRules {
        BreakerRules::new(&DispatchConfig::default())
    }

    /// Of the first lease of a row.
    fn of_row(row: i64) -> Attempt {
        Attempt { row, fence: 1 }
    }

    const PROBE: Attempt = Attempt { row: 100, fence: 2 };

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(rules());
        for row in 0..5 {
            assert_eq!((breaker.lets(now), breaker.degree()), (Lets::All, 0));
            breaker.hear(of_row(row), Word::Away, now);
        }
        breaker
    }

    #[test]
    fn five_attempts_in_a_row_open_it_and_what_is_said_of_one_row_does_not_count() {
        let now = Instant::now();
        let mut breaker = Breaker::new(rules());
        for row in 0..100 {
            breaker.hear(of_row(row), Word::Nothing, now);
            breaker.hear(of_row(row), Word::Away, now);
            breaker.hear(of_row(row), Word::Takes, now);
        }
        let of_one_row = Word::of(&Performance::Declined { after: None, error: String::new() });
        (0..100).for_each(|row| breaker.hear(of_row(row), of_one_row, now));
        assert_eq!(breaker.lets(now), Lets::All);
        let breaker = opened(now);
        assert_eq!((breaker.lets(now), breaker.degree()), (Lets::None, 2));
    }

    #[test]
    fn probes_go_one_at_a_time_after_5_s_doubling_to_a_minute_and_one_that_is_taken_closes_it() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let began = now;
            while breaker.lets(now) == Lets::None {
                now += SECOND;
            }
            pauses.push((now - began).as_secs());
            breaker.probe_begins(PROBE, now);
            assert_eq!((breaker.lets(now), breaker.degree()), (Lets::None, 1), "two probes at once");
            breaker.hear(PROBE, Word::Away, now);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        breaker.hear(of_row(1), Word::Takes, now);
        assert_eq!(breaker.lets(now), Lets::All);
    }

    #[test]
    fn an_hour_of_outage_costs_few_attempts() {
        let mut now = Instant::now();
        let (mut breaker, until, mut attempts) = (opened(now), now + 3_600 * SECOND, 5);
        while now < until {
            if breaker.lets(now) == Lets::One {
                breaker.probe_begins(PROBE, now);
                breaker.hear(PROBE, Word::Away, now);
                attempts += 1;
            }
            now += SECOND;
        }
        assert!(attempts < 70, "{attempts}");
    }

    #[test]
    fn a_probe_that_was_refused_is_followed_by_the_next_row_at_once() {
        let now = Instant::now() + 5 * SECOND;
        let mut breaker = opened(now - 5 * SECOND);
        breaker.probe_begins(PROBE, now);
        breaker.hear(PROBE, Word::Nothing, now);
        assert_eq!(breaker.lets(now), Lets::One);
    }

    #[test]
    fn the_end_of_another_attempt_is_not_taken_for_the_probes() {
        let now = Instant::now() + 5 * SECOND;
        let mut breaker = opened(now - 5 * SECOND);
        breaker.probe_begins(PROBE, now);
        let before = Attempt { fence: PROBE.fence - 1, ..PROBE };
        for other in [of_row(1), before] {
            breaker.hear(other, Word::Nothing, now);
            breaker.hear(other, Word::Away, now);
            assert_eq!((breaker.lets(now), breaker.degree()), (Lets::None, 1), "the probe is still being sent");
        }
        breaker.hear(PROBE, Word::Away, now);
        assert_eq!((breaker.lets(now + 9 * SECOND), breaker.lets(now + 10 * SECOND)), (Lets::None, Lets::One));
    }

    #[test]
    fn where_nothing_waits_it_closes_and_the_next_attempt_in_vain_opens_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.finds_nothing_waiting();
        assert_eq!((breaker.lets(now), breaker.degree()), (Lets::All, 0));
        breaker.hear(of_row(6), Word::Away, now);
        assert_eq!((breaker.lets(now), breaker.degree()), (Lets::None, 2));
        let mut rules = rules();
        rules.failures = 1;
        let mut breaker = Breaker::new(rules);
        breaker.hear(of_row(1), Word::Away, now);
        breaker.finds_nothing_waiting();
        assert_eq!(breaker.lets(now), Lets::All);
    }

    #[test]
    fn where_no_row_is_due_it_is_looked_for_one_soon() {
        let now = Instant::now() + 5 * SECOND;
        let mut breaker = opened(now - 5 * SECOND);
        breaker.finds_no_probe(now);
        assert_eq!((breaker.lets(now), breaker.lets(now + SECOND)), (Lets::None, Lets::One));
    }

    #[test]
    fn attempts_that_had_begun_before_put_off_no_probe() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for passed in 0..5 {
            breaker.hear(of_row(passed.into()), Word::Away, now + passed * SECOND);
        }
        assert_eq!(breaker.lets(now + 5 * SECOND), Lets::One);
    }

    proptest! {
        /// Whatever is heard or never heard, a row may be begun again within the longest pause and a lease; and no probe
        /// beside another whose lease is not over.
        #[test]
        fn it_never_holds_rows_for_ever_and_probes_by_one_at_a_time(
            happenings in prop::collection::vec((0..8u8, 0..90u64), 0..200),
        ) {
            let mut now = Instant::now();
            let (mut breaker, mut probing, mut fence) = (Breaker::new(rules()), None, 0);
            for (what, seconds) in happenings {
                now += u32::try_from(seconds).unwrap() * SECOND;
                let lets = breaker.lets(now);
                match (what, probing) {
                    (0, _) => breaker.hear(of_row(1), Word::Takes, now),
                    (1 | 2, _) => breaker.hear(of_row(1), Word::Away, now),
                    (3, _) => breaker.hear(of_row(1), Word::Nothing, now),
                    (4 | 5, _) if lets == Lets::One => {
                        prop_assert!(probing.is_none_or(|(_, ends_at)| ends_at <= now), "two probes at once");
                        fence += 1;
                        let probe = Attempt { fence, ..PROBE };
                        breaker.probe_begins(probe, now);
                        probing = Some((probe, now + rules().probe_ends));
                    }
                    (6, _) if lets == Lets::One => breaker.finds_no_probe(now),
                    (7, Some((probe, _))) => {
                        breaker.hear(probe, if seconds > 45 { Word::Away } else { Word::Nothing }, now);
                        probing = None;
                    }
                    _ => {}
                }
                if breaker.degree() == 0 {
                    probing = None; // what is still being sent is one of many
                }
                let longest = rules().max_pause.max(rules().probe_ends);
                prop_assert_ne!(breaker.lets(now + longest), Lets::None);
            }
        }
    }
}
