//! How many lines a second strangers may cause.
//!
//! Whoever reaches the public port can be refused thousands of times a second. Every refusal is
//! counted in the metrics; beyond the budget its line is logged at debug level only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines a second.
const LINES_PER_SECOND: u64 = 20;

/// A budget of log lines, renewed every second.
pub(crate) struct LogBudget {
    /// The second in the upper 48 bits, lines spent in it in the lower 16.
    spent: AtomicU64,
}

impl LogBudget {
    pub(crate) const fn new() -> Self {
        Self { spent: AtomicU64::new(0) }
    }

    /// Whether one more line may be logged now.
    pub(crate) fn spend(&self) -> bool {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.spend_in(second)
    }

    fn spend_in(&self, second: u64) -> bool {
        let next = |spent: u64| match (spent >> 16, spent & 0xffff) {
            (spent_in, _) if spent_in != second => Some(second << 16 | 1),
            (_, lines) if lines < LINES_PER_SECOND => Some(spent + 1),
            _ => None,
        };
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines() {
        let budget = LogBudget::new();
        for second in [7, 8] {
            let logged = (0..1000).filter(|_| budget.spend_in(second)).count();
            assert_eq!(logged, usize::try_from(LINES_PER_SECOND).unwrap());
        }
    }
}
