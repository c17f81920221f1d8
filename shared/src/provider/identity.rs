//! A webhook's id and topic: what the same webhook has in common each time it is sent, and what it is about.
//!
//! The id is the idempotency key, so this is strict: a header given twice, an empty id or one with control
//! characters is refused rather than guessed at. Both end in AMQP short strings, log lines and a
//! terminal; printable ASCII of at most 255 bytes is safe in all of them.

use std::fmt;

use aws_lc_rs::digest;

use super::body_path::Found;
use super::{MAX_SHORT_STRING_BYTES, Place};
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
        Place::Body(path) => match path.find(body) {
            Found::Nothing => Ok(None),
            Found::Text(text) => Ok(Some(text.into_owned())),
            Found::Other => Err(IdentityError::NotText { field, path: path.as_str().to_owned() }),
        },
        Place::BodyHash(_sha256) => Ok(Some(hex::encode(digest::digest(&digest::SHA256, body)))),
        Place::Fixed(text) => Ok(Some(text.clone())),
    }
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
        Place::Body(path) => format!("{:?} in the body", path.as_str()),
        Place::BodyHash(_) => "the body's hash".to_owned(),
        Place::Fixed(text) => format!("the constant {text:?}"),
    }
}
