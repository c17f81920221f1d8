//! `[retention]`: how long things are kept. Ledger and outbox keys are kept for ever: they are what
//! makes an effect happen once.

use garde::Validate;
use serde::Deserialize;

/// How long things are kept, in days.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Rows of `processed_webhooks`. Never shorter than the time in which a provider may send a
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
        Self { processed_days: 30, payload_days: 30, failure_days: 90 }
    }
}
