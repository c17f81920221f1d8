//! What a plan holds: intents, and what was left out on purpose.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::config::{AmbiguousPolicy, UnknownSku};
use crate::name::Name;

/// What a webhook wants done, decided without I/O.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether any route took the webhook. If none did it is recorded as `skipped`.
    pub routed: bool,
    /// Stock decrements, in the order of the body.
    pub decrements: Vec<Decrement>,
    /// Mails.
    pub emails: Vec<Email>,
    /// Calls.
    pub calls: Vec<Call>,
    /// What an effect left out, and why.
    pub skips: Vec<Skip>,
    /// What it can be found by.
    pub search_keys: Vec<super::SearchKey>,
}

/// Take a quantity of one SKU out of stock, once per (source, order, line).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decrement {
    /// The effect that asked for it.
    pub effect: Name,
    /// The order's id, as the source names it.
    pub order: String,
    /// The line's id within the order.
    pub line: String,
    /// The stock keeping unit.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: i64,
    /// What to do when the SKU is not in `inventory`.
    pub unknown_sku: UnknownSku,
}

/// Send one mail, rendered in full, once per idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The effect that asked for it.
    pub effect: Name,
    /// `effect/source/key`: unique in the outbox for ever.
    pub dedupe_key: String,
    /// The letter itself.
    pub letter: Letter,
    /// What to do when a send's outcome is unknown.
    pub on_ambiguous: AmbiguousPolicy,
}

/// Call an effect's URL once per idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The effect that asked for it; its URL and secrets are looked up when the call is made.
    pub effect: Name,
    /// `effect/source/key`: unique in the outbox for ever.
    pub dedupe_key: String,
    /// What is sent.
    pub body: CallBody,
    /// What to do when a call's outcome is unknown.
    pub on_ambiguous: AmbiguousPolicy,
}

/// The body of a call, as the outbox stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBody {
    /// JSON, as text: every attempt sends, and signs, the same bytes.
    pub json: String,
}

/// A rendered mail, as the outbox stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The recipient's address.
    pub to: String,
    /// The subject, one line.
    pub subject: String,
    /// The plain text.
    pub text: String,
}

impl Plan {
    /// Two intents under one key would be one, and which of the two would be chance.
    pub(super) fn refuse_repeated_keys(&self) -> Result<(), PlanError> {
        let mut lines = HashSet::new();
        for decrement in &self.decrements {
            if !lines.insert((&decrement.order, &decrement.line)) {
                let problem = format!("line {} of order {} comes twice", decrement.line, decrement.order);
                return Err(PlanError::Value { effect: decrement.effect.clone(), problem });
            }
        }
        let mut keys = HashSet::new();
        let mails = self.emails.iter().map(|email| (&email.effect, &email.dedupe_key, "mails"));
        let calls = self.calls.iter().map(|call| (&call.effect, &call.dedupe_key, "calls"));
        for (effect, key, what) in mails.chain(calls) {
            if !keys.insert(key) {
                let problem = format!("two {what} have the key {key}");
                return Err(PlanError::Value { effect: effect.clone(), problem });
            }
        }
        Ok(())
    }
}

impl Letter {
    /// As the outbox stores it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({ "to": self.to, "subject": self.subject, "text": self.text }).to_string()
    }
}

impl CallBody {
    /// As the outbox stores it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({ "json": self.json }).to_string()
    }
}

/// Something an effect left out on purpose; recorded with the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Skip {
    /// The effect, or the route whose filter said no.
    pub by: String,
    /// Why, for a person.
    pub reason: String,
}

/// Why a webhook cannot be planned: it will fail the same way every time, so it parks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The body is not JSON, and a route needs it to be.
    #[error("{0}")]
    Body(#[source] super::ExpressionError),
    /// A route's filter failed.
    #[error("the filter of route {route} failed: {error}")]
    Filter {
        /// The route.
        route: Name,
        /// What jq said.
        #[source]
        error: super::ExpressionError,
    },
    /// An effect's mapping failed or yielded something else than the effect needs.
    #[error("the mapping of effect {effect} failed: {error}")]
    Mapping {
        /// The effect.
        effect: Name,
        /// What jq said.
        #[source]
        error: super::ExpressionError,
    },
    /// A mapping's value is out of its bounds.
    #[error("effect {effect}: {problem}")]
    Value {
        /// The effect.
        effect: Name,
        /// Which value, and what would be right.
        problem: String,
    },
    /// A template failed.
    #[error("the template of effect {effect} failed: {problem}")]
    Template {
        /// The effect.
        effect: Name,
        /// What the template engine said.
        problem: String,
    },
}
