//! The form of a provider file: exactly what may stand in `providers/<name>.toml`.
//!
//! Every table refuses keys it doesn't know. How webhooks are signed is `signature_rule.rs`, what they are answered is
//! `answer_rule.rs`. Rules that span several keys are in `check.rs`. The doc comments here are also the descriptions in
//! `providers/schema.json`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

use super::{AnswerRule, BodyPath, ElementsPath, Handshake, HeaderName, SignatureRule, SubscriptionRule};

/// A provider file as it stands.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProviderFile {
    /// What people call the provider.
    pub title: String,
    /// The provider's own page about verification, an `https://` URL.
    pub documentation: String,
    /// Where each rule of the file was read, at least one.
    pub rule_from: Vec<String>,
    /// How sure the rules are.
    pub sure: Sure,
    /// What is not known for certain; required unless the rules were read in the provider's own library or documents.
    #[serde(default)]
    pub unsure_about: Vec<String>,
    /// How long after the event the same webhook may come again, in hours.
    pub retry_horizon_hours: u32,
    /// How long the provider waits for an answer, in milliseconds.
    pub answer_deadline_ms: u32,
    /// How many answers in a row other than 2xx the provider takes before it ends the subscription, if it does.
    pub failures_tolerated: Option<u32>,
    /// Whether the signature covers a time of sending that is checked; checked against the template.
    pub timestamp_signed: bool,
    /// Headers copied onto the message.
    #[serde(default)]
    pub keep_headers: Vec<HeaderName>,
    /// Where the webhook's id is; in a provider with batches, where an element's id is.
    pub id: IdRule,
    /// Where the webhook's topic is; in a provider with batches, where an element's topic is.
    pub topic: TopicRule,
    /// How the webhook is signed.
    pub signature: SignatureRule,
    /// How a body is split, if it holds several webhooks.
    pub batch: Option<BatchRule>,
    /// What an accepted webhook is answered, if the provider cares.
    #[serde(default)]
    pub answer: AnswerRule,
    /// Requests that are answered at once and are no webhooks.
    #[serde(default)]
    pub handshake: Vec<Handshake>,
    /// How a `GET` proves that the URL is ours, if the provider asks.
    pub subscription: Option<SubscriptionRule>,
}

/// How sure the rules of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sure {
    /// Read in the provider's own library, or in the one that the provider's specification names.
    Library,
    /// Read in the provider's own documents.
    Documents,
    /// Read elsewhere only.
    ThirdParty,
}

/// Where the id is, and whether the signature covers it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IdRule {
    /// Places in the order of looking; the first that is there counts.
    pub from: Vec<Place>,
    /// Whether the signature covers the id; checked against the template.
    pub signed: bool,
}

/// Where the topic is.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TopicRule {
    /// Places in the order of looking; the first that is there counts.
    pub from: Vec<Place>,
}

/// One place where an id or a topic may be found.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The whole value of a header.
    Header(HeaderName),
    /// A header's value, a colon, and the hash of the raw body: for providers whose ids are not unique by themselves.
    HeaderAndBodyHash(HeaderName),
    /// A string or a number in the JSON body. Not there if the body isn't JSON or the value is `null`.
    Body(BodyPath),
    /// Several of them, joined by colons. Not there unless all of them are.
    BodyJoin(Vec<BodyPath>),
    /// Fields of a form body, joined by colons. Not there unless all of them are.
    Form(Vec<String>),
    /// The hash of the raw body, in hex: for providers that give no id. Always there.
    BodyHash(BodyHash),
    /// A constant. Always there; for topics only.
    Fixed(String),
}

/// The hash that `body_hash` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BodyHash {
    /// SHA-256, 64 hex digits.
    Sha256,
}

/// How a body that holds several webhooks is split.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchRule {
    /// Paths to the elements, `*` for each element of an array; all that lead somewhere count.
    pub elements: Vec<ElementsPath>,
}
