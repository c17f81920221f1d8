//! What a provider wants to be answered: after a webhook, to a handshake, to a `GET`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

use super::BodyPath;

/// What an accepted webhook is answered. The same bytes each time it is sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// The body; Oncehook's own JSON document if it is not given. If it is empty, refusals have no body either.
    pub body: Option<String>,
    /// Its media type; left out if the body is empty.
    pub content_type: Option<String>,
}

impl AnswerRule {
    /// Whether the provider wants no answer to have a body, whatever it says.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.body.as_deref() == Some("")
    }
}

/// A genuine request that is answered at once and is no webhook.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// How to tell it from a webhook.
    pub when: Condition,
    /// What it is answered.
    pub answer: HandshakeAnswer,
}

/// A field of the JSON body that has a certain value.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where the field is.
    pub body: BodyPath,
    /// What it says: a string, or a number as it is written.
    pub is: String,
}

/// What a handshake is answered.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HandshakeAnswer {
    /// The value of this field, as plain text.
    Echo(BodyPath),
    /// `{"plainToken": <the value of this field>, "encryptedToken": <its HMAC-SHA256 under the secret, in hex>}`.
    HmacOf(BodyPath),
    /// This JSON document.
    Json(String),
}

/// How a `GET` proves that the URL is ours: it carries a token that we chose, and is answered its challenge.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRule {
    /// The parameter of the query that holds the source's `verify_token`.
    pub token: String,
    /// The parameter whose value is the answer.
    pub challenge: String,
}
