//! A webhook's id and topic: what the same webhook has in common each time it is sent, and what it is about.
//!
//! The id is the idempotency key, so this is strict: a header given twice, an empty id or one with control
//! characters is refused rather than guessed at. Both end in AMQP short strings, log lines and a
//! terminal; printable ASCII of at most 255 bytes is safe in all of them.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;

use super::{BodyPath, Found, MAX_SHORT_STRING_BYTES, Place};
use crate::verification::{HeaderError, Headers};

/// What a webhook is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The same each time the provider sends this webhook.
    pub id: String,
    /// What it is about, in the provider's words.
    pub topic: String,
}

/// Which half of an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The id.
    Id,
    /// The topic.
    Topic,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Id => "id",
            Self::Topic => "topic",
        })
    }
}

/// Why a webhook has no usable id or topic. The messages name headers and paths, never a value: they may be
/// shown to the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// None of the places has it.
    #[error("the webhook has no {field}; looked in {tried}")]
    Missing {
        /// Which half.
        field: Field,
        /// The places, for people.
        tried: String,
    },
    /// Its header was given twice or is not printable ASCII.
    #[error("the webhook's {field}: {source}")]
    Header {
        /// Which half.
        field: Field,
        /// What is wrong with the header.
        source: HeaderError,
    },
    /// The value in the body is neither string nor number.
    #[error("the webhook's {field} at {path:?} in the body is neither a string nor a number")]
    NotText {
        /// Which half.
        field: Field,
        /// Where in the body.
        path: String,
    },
    /// It is there, and empty.
    #[error("the webhook's {0} is empty")]
    Empty(Field),
    /// Longer than an AMQP short string.
    #[error("the webhook's {field} is too long: {bytes} bytes, at most 255 (for the topic, with the provider's name)")]
    TooLong {
        /// Which half.
        field: Field,
        /// How long, for the topic including `<provider>.`.
        bytes: usize,
    },
    /// It has control characters or isn't ASCII.
    #[error("the webhook's {0} has characters other than printable ASCII, or a space at an end")]
    Unprintable(Field),
    /// An element of a batch calls itself a batch.
    #[error("the webhook's {0} is a word that only bodies with several webhooks have")]
    Reserved(Field),
}

impl IdentityError {
    /// A stable name for metrics and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { field: Field::Id, .. } => "id_missing",
            Self::Missing { field: Field::Topic, .. } => "topic_missing",
            Self::Header { source: HeaderError::Twice { .. }, .. } => "header_twice",
            Self::Header { source: HeaderError::NotText { .. }, .. } => "header_not_text",
            Self::NotText { .. } => "not_text",
            Self::Empty(_) => "empty",
            Self::TooLong { .. } => "too_long",
            Self::Unprintable(_) => "unprintable",
            Self::Reserved(_) => "reserved",
        }
    }
}

/// The first of `places` that is there.
pub(super) fn find(
    field: Field,
    places: &[Place],
    headers: &Headers<'_>,
    body: &[u8],
) -> Result<String, IdentityError> {
    for place in places {
        if let Some(text) = look(field, place, headers, body)? {
            check(field, &text)?;
            return Ok(text);
        }
    }
    let tried = places.iter().map(named).collect::<Vec<_>>().join(", ");
    Err(IdentityError::Missing { field, tried })
}

fn look(field: Field, place: &Place, headers: &Headers<'_>, body: &[u8]) -> Result<Option<String>, IdentityError> {
    match place {
        Place::Header(name) => headers
            .one(name.as_str())
            .map(|value| value.map(str::to_owned))
            .map_err(|source| IdentityError::Header { field, source }),
        Place::HeaderAndBodyHash(name) => headers
            .one(name.as_str())
            .map(|value| value.filter(|value| !value.is_empty()).map(|value| format!("{value}:{}", body_hash(body))))
            .map_err(|source| IdentityError::Header { field, source }),
        Place::Body(path) => Ok(in_body(field, path, body)?.map(Cow::into_owned)),
        Place::BodyJoin(paths) => joined(paths.iter().map(|path| in_body(field, path, body))),
        Place::Form(names) => joined(names.iter().map(|name| Ok(in_form(name, body)))),
        Place::BodyHash(_sha256) => Ok(Some(body_hash(body))),
        Place::Fixed(text) => Ok(Some(text.clone())),
    }
}

/// SHA-256 in hex.
pub(super) fn body_hash(body: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, body))
}

fn in_body<'b>(field: Field, path: &BodyPath, body: &'b [u8]) -> Result<Option<Cow<'b, str>>, IdentityError> {
    match path.find(body) {
        Found::Nothing => Ok(None),
        Found::Text(text) => Ok(Some(text)),
        Found::Other => Err(IdentityError::NotText { field, path: path.as_str().to_owned() }),
    }
}

/// The value of a form's field. Of several the first counts, in every program that reads forms by name.
fn in_form<'b>(name: &str, body: &'b [u8]) -> Option<Cow<'b, str>> {
    url::form_urlencoded::parse(body).find_map(|(given, value)| (given == name).then_some(value))
}

/// All of them with colons between, or nothing if one is missing. A colon inside a value could make two webhooks one, so
/// it is escaped.
fn joined<'b>(
    values: impl Iterator<Item = Result<Option<Cow<'b, str>>, IdentityError>>,
) -> Result<Option<String>, IdentityError> {
    let mut text = String::new();
    for (position, value) in values.enumerate() {
        let Some(value) = value?.filter(|value| !value.is_empty()) else { return Ok(None) };
        if position > 0 {
            text.push(':');
        }
        text.push_str(&value.replace('\\', "\\\\").replace(':', "\\:"));
    }
    Ok(Some(text))
}

fn check(field: Field, text: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::Empty(field));
    }
    fits(field, text.len())?;
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && text.trim_ascii().len() == text.len() { Ok(()) } else { Err(IdentityError::Unprintable(field)) }
}

/// Whether so many bytes fit an AMQP short string.
pub(super) fn fits(field: Field, bytes: usize) -> Result<(), IdentityError> {
    if bytes <= MAX_SHORT_STRING_BYTES { Ok(()) } else { Err(IdentityError::TooLong { field, bytes }) }
}

fn named(place: &Place) -> String {
    match place {
        Place::Header(name) => format!("header {}", name.as_str()),
        Place::HeaderAndBodyHash(name) => format!("header {} with the body's hash", name.as_str()),
        Place::Body(path) => format!("{:?} in the body", path.as_str()),
        Place::BodyJoin(paths) => {
            let paths: Vec<&str> = paths.iter().map(BodyPath::as_str).collect();
            format!("all of {} in the body", paths.join(", "))
        }
        Place::Form(names) => format!("all of {} in the form", names.join(", ")),
        Place::BodyHash(_) => "the body's hash".to_owned(),
        Place::Fixed(text) => format!("the constant {text:?}"),
    }
}
