//! What a signature is computed over: literal text with placeholders such as `{body}` and `{timestamp}` in it.
//!
//! A template is taken apart once, when the provider file is read. The parts are fed to the MAC one by one,
//! so the body is never copied.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyPath, HeaderName};
use crate::name::Name;

/// Most parts of a template. Bounds the work per request.
const MAX_PARTS: usize = 64;

/// Every placeholder, for people.
const KNOWN: &str =
    "{body}, {id}, {timestamp}, {url}, {form}, {body_crc32}, {header:NAME}, {field:PATH} and {parameter:NAME}";

/// What is signed: any text with `{body}`, `{id}`, `{timestamp}`, `{url}`, `{form}`, `{body_crc32}`, `{header:NAME}`,
/// `{field:PATH}` and `{parameter:NAME}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(test, schemars(with = "String"))]
pub struct Template(Vec<Part>);

/// One part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// The raw body, byte for byte.
    Body,
    /// The webhook's id, as it was sent.
    Id,
    /// The timestamp, as it was sent.
    Timestamp,
    /// The URL that the provider was given (the source's `public_url`), with the query of the request.
    Url,
    /// The fields of a form body, each name followed by its value, sorted by name.
    Form,
    /// CRC-32 of the raw body, in decimal.
    BodyCrc32,
    /// A header's value, as it was sent.
    Header(HeaderName),
    /// A value in the JSON body; empty if it isn't there.
    Field(BodyPath),
    /// A value that only this source knows, from its `parameters`.
    Parameter(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its counterpart.
    #[error("template {0:?} has a brace without its counterpart; braces only enclose {KNOWN}")]
    Brace(String),
    /// A placeholder nobody knows.
    #[error("template has {{{0}}}, which is unknown; known are {KNOWN}")]
    Unknown(String),
    /// More parts than any provider has.
    #[error("template has more than {MAX_PARTS} parts")]
    TooLong,
}

impl Template {
    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The names of the parameters that a source must give.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let Part::Parameter(name) = part { Some(name.as_str()) } else { None })
    }

    /// Whether the template has this part.
    #[must_use]
    pub fn has(&self, part: &Part) -> bool {
        self.0.contains(part)
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((literal, after)) = rest.split_once('{') {
            push_literal(&mut parts, literal, &text)?;
            let Some((name, after)) = after.split_once('}') else {
                return Err(TemplateError::Brace(text));
            };
            parts.push(placeholder(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?);
            rest = after;
        }
        push_literal(&mut parts, rest, &text)?;
        if parts.len() <= MAX_PARTS { Ok(Self(parts)) } else { Err(TemplateError::TooLong) }
    }
}

fn placeholder(text: &str) -> Option<Part> {
    Some(match text.split_once(':') {
        None => match text {
            "body" => Part::Body,
            "id" => Part::Id,
            "timestamp" => Part::Timestamp,
            "url" => Part::Url,
            "form" => Part::Form,
            "body_crc32" => Part::BodyCrc32,
            _ => return None,
        },
        Some(("header", name)) => Part::Header(HeaderName::try_from(name.to_owned()).ok()?),
        Some(("field", path)) => Part::Field(BodyPath::try_from(path.to_owned()).ok()?),
        Some(("parameter", name)) => Part::Parameter(Name::try_from(name).ok()?.to_string()),
        Some(_) => return None,
    })
}

fn push_literal(parts: &mut Vec<Part>, literal: &str, text: &str) -> Result<(), TemplateError> {
    if literal.contains('}') {
        return Err(TemplateError::Brace(text.to_owned()));
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.to_owned()));
    }
    Ok(())
}
