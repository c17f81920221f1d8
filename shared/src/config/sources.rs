//! `[sources.NAME]`: one configured sender.

use garde::Validate;
use serde::Deserialize;

use super::SecretRef;
use crate::name::Name;

/// The largest body that any source may allow, in bytes. RabbitMQ 4 closes the channel at 16 MiB.
pub(super) const MAX_BODY_BYTES: u32 = 8 * 1024 * 1024;

/// One sender of webhooks.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The provider file that says how its webhooks are signed and named.
    #[garde(skip)]
    pub provider: Name,
    /// The secrets in use, any of which may have signed: more than one while rotating.
    #[garde(skip)]
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    /// Must be said in so many words to accept webhooks unverified.
    #[garde(skip)]
    pub verification: Option<Verification>,
    /// The largest body accepted, in bytes; larger ones are answered 413.
    #[garde(range(min = 1, max = MAX_BODY_BYTES))]
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: u32,
    /// What to do when an id that was processed comes again with another body.
    #[garde(skip)]
    #[serde(default)]
    pub on_changed_body: ChangedBody,
}

fn default_max_body_bytes() -> u32 {
    1024 * 1024
}

/// The ways to do without the provider's verification: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// Anyone who reaches the URL may send.
    None,
}

/// What to do with a duplicate whose body differs from the one that was processed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangedBody {
    /// Treat it as the duplicate it is by its id; count it. Stripe's `pending_webhooks` changes
    /// between retries of one event, so this is the default.
    #[default]
    Flag,
    /// Park it for a person to look at.
    Park,
}
