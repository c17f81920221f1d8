//! What a signature is computed over: literal text with `{body}`, `{id}` and `{timestamp}` in it.
//!
//! A template is taken apart once, when the provider file is read. The parts are fed to the MAC one by one,
//! so the body is never copied.

use serde::Deserialize;

/// A template taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its counterpart.
    #[error(
        "template {0:?} has a brace without its counterpart; braces only enclose {{body}}, {{id}} and {{timestamp}}"
    )]
    Brace(String),
    /// A placeholder nobody knows.
    #[error("template has {{{0}}}, which is unknown; known are {{body}}, {{id}} and {{timestamp}}")]
    Unknown(String),
}

impl Template {
    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
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
            parts.push(match name {
                "body" => Part::Body,
                "id" => Part::Id,
                "timestamp" => Part::Timestamp,
                unknown => return Err(TemplateError::Unknown(unknown.to_owned())),
            });
            rest = after;
        }
        push_literal(&mut parts, rest, &text)?;
        Ok(Self(parts))
    }
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
