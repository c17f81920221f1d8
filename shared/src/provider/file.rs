//! The form of a provider file: exactly what may stand in `providers/<name>.toml`.
//!
//! Every table refuses keys it doesn't know. What a later scheme needs comes as a further variant of
//! [`SignatureRule`], a further kind of [`Place`] or an optional key, so that the files already written
//! stay as they are. Rules that span several keys are in `check.rs`.

use serde::Deserialize;

use super::{BodyPath, HeaderName, Template};

/// A provider file as it stands. [`super::Provider`] is the checked form.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderFile {
    /// What people call the provider.
    pub title: String,
    /// The provider's own page about verification, an `https://` URL.
    pub documentation: String,
    /// Where each rule of the file was read, at least one.
    pub rule_from: Vec<String>,
    /// How long after the event the same webhook may come again, in hours.
    pub retry_horizon_hours: u32,
    /// How long the provider waits for an answer, in milliseconds.
    pub answer_deadline_ms: u32,
    /// Headers copied onto the message.
    #[serde(default)]
    pub keep_headers: Vec<HeaderName>,
    /// Where the webhook's id is.
    pub id: IdRule,
    /// Where the webhook's topic is.
    pub topic: TopicRule,
    /// How the webhook is signed.
    pub signature: SignatureRule,
}

/// Where the id is, and whether the signature covers it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRule {
    /// Places in the order of looking; the first that is there counts.
    pub from: Vec<Place>,
    /// Whether the signature covers the id; checked against the template.
    pub signed: bool,
}

/// Where the topic is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRule {
    /// Places in the order of looking; the first that is there counts.
    pub from: Vec<Place>,
}

/// One place where an id or a topic may be found.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The whole value of a header.
    Header(HeaderName),
    /// A string or number in the JSON body. Not there if the body isn't JSON or the value is `null`.
    Body(BodyPath),
    /// The hash of the raw body, in hex: for providers that give no id. Always there.
    BodyHash(BodyHash),
    /// A constant. Always there; for topics only.
    Fixed(String),
}

/// The hash that [`Place::BodyHash`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyHash {
    /// SHA-256, 64 hex digits.
    Sha256,
}

/// How a webhook is signed: one variant a scheme.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case")]
pub enum SignatureRule {
    /// An HMAC over a template.
    Hmac(HmacRule),
}

/// An HMAC over a template, found in one or several headers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacRule {
    /// The hash function.
    pub hash: Hash,
    /// What is signed.
    pub template: Template,
    /// Headers that carry signatures; all that are there are candidates.
    pub from: Vec<HeaderPart>,
    /// How a signature is written.
    pub encoding: Encoding,
    /// How a secret becomes a key.
    pub key: KeyRule,
    /// The signed time of sending, if the template has one.
    pub timestamp: Option<TimestampRule>,
}

/// Part of a header's value: all of it, what follows a prefix, or such parts of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderPart {
    /// The header.
    pub header: HeaderName,
    /// What separates the parts, if the value is a list.
    pub separator: Option<char>,
    /// What a part must start with, and what is cut off.
    #[serde(default)]
    pub prefix: String,
}

impl HeaderPart {
    /// The parts of `value` that start with the prefix, without it. Allocates nothing.
    pub fn parts<'v>(&'v self, value: &'v str) -> impl Iterator<Item = &'v str> {
        let (list, whole) = match self.separator {
            Some(separator) => (Some(value.split(separator).map(str::trim)), None),
            None => (None, Some(value)),
        };
        list.into_iter().flatten().chain(whole).filter_map(|part| part.strip_prefix(self.prefix.as_str()))
    }
}

/// Where the signed time of sending is, and how far off it may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// Headers in the order of looking; the first that is there counts.
    pub from: Vec<HeaderPart>,
    /// How it is written.
    pub unit: TimestampUnit,
    /// How far it may be from the time of receipt, to either side, in seconds.
    pub tolerance_seconds: u32,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Decimal seconds since 1970.
    Seconds,
    /// Decimal milliseconds since 1970.
    Milliseconds,
    /// `2026-11-23T14:30:00Z` and its like (RFC 3339).
    Rfc3339,
}

/// A hash function for HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-1: broken for signatures, not known to be for HMAC. For providers that offer nothing else.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Lower-case hexadecimal. Upper case is refused, as the providers' own libraries do.
    Hex,
    /// Base64, standard alphabet, padded (RFC 4648, section 4).
    Base64,
}

/// How a secret, as people copy it from the provider's page, becomes a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRule {
    /// How the secret is read after the prefix.
    pub encoding: KeyEncoding,
    /// Cut off if the secret starts with it.
    #[serde(default)]
    pub prefix: String,
}

/// How a secret is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// The secret's own bytes.
    Raw,
    /// Base64, standard alphabet, padding optional.
    Base64,
    /// Hexadecimal, either case.
    Hex,
}
