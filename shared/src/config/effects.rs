//! `[effects.KIND.NAME]`: what is done behind a webhook. A new kind is one struct and one field here.

use std::collections::BTreeMap;

use garde::Validate;
use serde::Deserialize;

use super::SecretRef;
use crate::name::Name;

/// The effect that mails to the operator go under; no configured effect may have its name.
pub const OPERATOR_ALERT: &str = "operator-alert";

/// All effects, by kind and name; a name is used once, whatever its kind.
#[derive(Debug, Clone, Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct EffectsConfig {
    /// Stock decrements.
    #[garde(dive)]
    pub inventory: BTreeMap<Name, InventoryEffectConfig>,
    /// Mails.
    #[garde(dive)]
    pub email: BTreeMap<Name, EmailEffectConfig>,
    /// Calls to services of one's own.
    #[garde(dive)]
    pub http: BTreeMap<Name, HttpEffectConfig>,
}

/// `[effects.inventory.NAME]`: takes the lines of an order out of stock, each line once.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct InventoryEffectConfig {
    /// A jq expression that yields one `{order, line, sku, quantity}` a line.
    #[garde(skip)]
    pub map: String,
    /// What to do with a SKU that `inventory` does not have.
    #[garde(skip)]
    #[serde(default)]
    pub unknown_sku: UnknownSku,
}

/// What to do with a SKU that `inventory` does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownSku {
    /// Park the webhook; nothing of it is applied until the SKU is known.
    #[default]
    Park,
    /// Skip the line and record so: for shops that keep only some of their stock here.
    Skip,
}

/// `[effects.email.NAME]`: sends one mail a business key.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct EmailEffectConfig {
    /// A jq expression that yields `{key, to, data}`; the key makes the mail unique.
    #[garde(skip)]
    pub map: String,
    /// The subject: a minijinja template over `data`.
    #[garde(length(min = 1))]
    pub subject: String,
    /// The plain text: a minijinja template over `data`.
    #[garde(length(min = 1))]
    pub text: String,
    /// What to do when a send's outcome is unknown.
    #[garde(skip)]
    #[serde(default)]
    pub on_ambiguous: AmbiguousPolicy,
}

/// `[effects.http.NAME]`: calls a URL once a business key.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct HttpEffectConfig {
    /// Where to POST to: http or https, without user and password.
    #[garde(length(min = 1))]
    pub url: String,
    /// A jq expression that yields `{key, body}`; the key makes the call unique, the body is sent as JSON.
    #[garde(skip)]
    pub map: String,
    /// What calls are signed with, as Standard Webhooks: `whsec_` and base64.
    #[garde(skip)]
    #[serde(default)]
    pub secret: Option<SecretRef>,
    /// What is sent as `Authorization: Bearer`.
    #[garde(skip)]
    #[serde(default)]
    pub bearer: Option<SecretRef>,
    /// Whether the host may be one of a private network. Otherwise a name that leads there is refused.
    #[garde(skip)]
    #[serde(default)]
    pub allow_private: bool,
    /// What to do when a call's outcome is unknown.
    #[garde(skip)]
    #[serde(default)]
    pub on_ambiguous: AmbiguousPolicy,
}

/// What to do with an effect that may or may not have reached its peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AmbiguousPolicy {
    /// Send it again, with the same idempotency key: the peer may see it twice.
    #[default]
    Resend,
    /// Hold it until a person decides: the peer may never see it.
    Hold,
}
