//! `[effects.KIND.NAME]`: what is done behind a webhook. A new kind is one struct and one field here.

use std::collections::BTreeMap;

use garde::Validate;
use serde::Deserialize;

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
