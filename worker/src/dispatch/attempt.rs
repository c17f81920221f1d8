//! What an attempt to perform an effect comes to: whether it may begin, and what follows from its
//! end. Pure; the dispatcher does what it says, and the simulation does the same.
//!
//! Invariant: an attempt that the peer may have accepted is settled as sent or as ambiguous.

use std::time::Duration;

use shared::config::{AmbiguousPolicy, DispatchConfig};
use shared::db::outbox::Settlement;

/// How performing an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Performance {
    /// The peer accepted it.
    Sent,
    /// The peer does not have it and may take it later.
    NotSent(String),
    /// The same, and it says when it may be asked again.
    Later {
        /// Not before this time has passed.
        after: Duration,
        /// What it said.
        error: String,
    },
    /// The peer does not have it and may take it later. Nothing is known of others by that.
    Declined {
        /// Not before this time has passed.
        after: Option<Duration>,
        /// Why.
        error: String,
    },
    /// The peer does not have it and never will take it.
    Refused(String),
    /// The peer may have it.
    Unknown(String),
    /// Nobody asked the peer: the worker stood still, and its lease is too short now.
    NotBegun,
}

/// Why what was not begun was not.
const NOT_BEGUN: &str = "not begun: the worker stood still, and the lease is too short now";

/// What attempts are held to.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRules {
    lease_ms: u64,
    deadline_ms: u64,
    max_attempts: i32,
    retry_min_ms: u64,
    retry_max_ms: u64,
}

impl AttemptRules {
    pub(crate) fn new(config: &DispatchConfig) -> Self {
        let DispatchConfig { lease_ms, deadline_ms, max_attempts, retry_min_ms, retry_max_ms, .. } = *config;
        Self { lease_ms, deadline_ms, max_attempts, retry_min_ms, retry_max_ms }
    }

    /// Whether an attempt would be over within its lease. One that would not must not begin: a
    /// worker that was frozen meanwhile may find another one sending.
    pub(crate) fn may_begin(&self, leased_for: Duration) -> bool {
        leased_for + self.deadline() <= Duration::from_millis(self.lease_ms)
    }

    /// How long an attempt may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// How an attempt is settled; `attempts` counts it. The last one is never sent again.
    pub(crate) fn settlement(
        &self,
        attempts: i32,
        on_ambiguous: AmbiguousPolicy,
        performance: Performance,
    ) -> Settlement {
        let exhausted = attempts >= self.max_attempts;
        let after = self.delay(attempts);
        match performance {
            Performance::Sent => Settlement::Sent,
            Performance::Refused(error) => Settlement::Failed { error },
            Performance::NotBegun if exhausted => Settlement::Failed { error: NOT_BEGUN.to_owned() },
            Performance::NotBegun => Settlement::Retry { after, error: NOT_BEGUN.to_owned() },
            Performance::NotSent(error) | Performance::Later { error, .. } | Performance::Declined { error, .. }
                if exhausted =>
            {
                Settlement::Failed { error }
            }
            Performance::NotSent(error) | Performance::Declined { after: None, error } => {
                Settlement::Retry { after, error }
            }
            Performance::Later { after: asked, error } | Performance::Declined { after: Some(asked), error } => {
                let longest = Duration::from_millis(self.retry_max_ms);
                Settlement::Retry { after: asked.min(longest).max(after), error }
            }
            Performance::Unknown(error) => {
                let policy = if exhausted { AmbiguousPolicy::Hold } else { on_ambiguous };
                Settlement::Ambiguous { policy, after, error }
            }
        }
    }

    /// Doubles with each attempt, from `retry_min_ms` to `retry_max_ms`.
    fn delay(&self, attempts: i32) -> Duration {
        let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(32);
        Duration::from_millis(self.retry_min_ms.saturating_mul(1 << doublings).min(self.retry_max_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let rules = AttemptRules::new(&DispatchConfig::default());
        let seconds: Vec<u64> = [1, 2, 3, 10, 11, 48].map(|attempts| rules.delay(attempts).as_secs()).into();
        assert_eq!(seconds, [5, 10, 20, 2_560, 3_600, 3_600]);
    }

    #[test]
    fn an_attempt_begins_only_where_its_deadline_is_within_its_lease() {
        let rules = AttemptRules::new(&DispatchConfig::default());
        assert!(rules.may_begin(Duration::from_secs(90)));
        assert!(!rules.may_begin(Duration::from_millis(90_001)));
    }

    #[test]
    fn the_last_attempt_is_given_up_or_held_and_never_sent_again() {
        let rules = AttemptRules::new(&DispatchConfig::default());
        let last = |performance| rules.settlement(48, AmbiguousPolicy::Resend, performance);
        assert!(matches!(last(Performance::NotSent(String::new())), Settlement::Failed { .. }));
        let held = last(Performance::Unknown(String::new()));
        assert!(matches!(held, Settlement::Ambiguous { policy: AmbiguousPolicy::Hold, .. }), "{held:?}");
        let before = rules.settlement(47, AmbiguousPolicy::Resend, Performance::Unknown(String::new()));
        assert!(matches!(before, Settlement::Ambiguous { policy: AmbiguousPolicy::Resend, .. }), "{before:?}");
    }
}
