//! `[sources.NAME]`: one configured sender.

use std::collections::BTreeMap;

use garde::Validate;
use serde::Deserialize;

use super::{SecretError, SecretRef, SourceSecret};
use crate::name::Name;
use crate::verification::{Credentials, Secret};

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
    pub secrets: Vec<SourceSecret>,
    /// The URL that the provider was given, without query; for providers that sign it.
    #[garde(skip)]
    pub public_url: Option<String>,
    /// Values that the provider signs and only this source knows, by name.
    #[garde(skip)]
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What a `GET` must show to be answered its challenge; for providers that ask (Meta).
    #[garde(skip)]
    pub verify_token: Option<SecretRef>,
    /// What to do with a known body under a fresh id, where the id isn't signed.
    #[garde(skip)]
    pub replay_defence: Option<ReplayDefence>,
    /// Must be said in so many words to accept webhooks unverified.
    #[garde(skip)]
    pub verification: Option<Verification>,
    /// The largest body accepted, in bytes; larger ones are answered 413.
    #[garde(range(min = 1, max = MAX_BODY_BYTES))]
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: u32,
    /// What a person may look for: jq over the body by name, indexed beside the webhook.
    #[garde(custom(few_keys))]
    #[serde(default)]
    pub search_keys: BTreeMap<Name, String>,
    /// What to do when an id that was processed comes again with another body.
    #[garde(skip)]
    #[serde(default)]
    pub on_changed_body: ChangedBody,
}

impl SourceConfig {
    /// Fetches the secrets, with everything else that verification needs.
    ///
    /// # Errors
    /// Every [`SecretError`].
    pub fn credentials(&self) -> Result<Credentials, Vec<SecretError>> {
        let mut secrets = Vec::new();
        let mut errors = Vec::new();
        for secret in &self.secrets {
            match secret.place.resolve() {
                Ok(text) => secrets.push(Secret { text, not_after: secret.not_after }),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Credentials { secrets, public_url: self.public_url.clone(), parameters: self.parameters.clone() })
    }
}

/// What to do with a webhook whose source, topic and body were processed under another id. Where the id isn't signed, a
/// captured body passes again under a fresh one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayDefence {
    /// Nothing: the effects have business keys.
    Off,
    /// Process it; count it and say so.
    Flag,
    /// Record it as the duplicate it looks like.
    Drop,
}

/// The most search keys of a source: each costs a row and an expression a webhook.
const MAX_SEARCH_KEYS: usize = 8;

fn few_keys(keys: &BTreeMap<Name, String>, _context: &()) -> garde::Result {
    if keys.len() <= MAX_SEARCH_KEYS { Ok(()) } else { Err(garde::Error::new("at most 8 search keys")) }
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
