//! `[retention]`: how long things are kept. Ledger and outbox keys are kept for ever: they are what
//! makes an effect happen once.

use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// The least time for which a webhook may be on its way (spool, queue, ladder) before it is too old: an outage of a
/// night, and the whole ladder behind it.
pub(super) const LEAST_ON_ITS_WAY: Duration = Duration::from_secs(24 * 3600);

/// How long things are kept, in days.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Rows of `processed_webhooks`. At least a day longer than the time in which a provider may send a
    /// webhook again.
    #[garde(range(min = 1, max = 3_650))]
    pub processed_days: u32,
    /// Bodies in `webhook_payloads`, by the day they were stored.
    #[garde(range(min = 1, max = 3_650))]
    pub payload_days: u32,
    /// Rows of `webhook_failures`.
    #[garde(range(min = 1, max = 3_650))]
    pub failure_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { processed_days: 31, payload_days: 30, failure_days: 90 }
    }
}

impl RetentionConfig {
    /// How long ids are kept.
    #[must_use]
    pub fn processed(&self) -> Duration {
        Duration::from_secs(u64::from(self.processed_days) * 24 * 3600)
    }

    /// How long a webhook may be on its way and is still told from a duplicate. The copy at hand may be the last that
    /// its provider sent, and the first may have been processed at once, a retry horizon before: its id is forgotten
    /// that much sooner.
    #[must_use]
    pub fn on_its_way(&self, retry_horizon: Duration) -> Duration {
        self.processed().saturating_sub(retry_horizon).max(LEAST_ON_ITS_WAY)
    }
}
