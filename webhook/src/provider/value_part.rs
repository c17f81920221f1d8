//! Part of a value: all of a header or of a field in the body, what follows a prefix, or such parts of a list.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyPath, HeaderName};

/// Where a signature, a token or a timestamp is written.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(try_from = "ValuePartFile")]
#[cfg_attr(test, schemars(with = "ValuePartFile"))]
pub struct ValuePart {
    place: ValuePlace,
    /// What separates the parts, if the value is a list.
    pub separator: Option<char>,
    /// What a part must start with, and what is cut off.
    pub prefix: String,
}

#[derive(Debug, Clone)]
enum ValuePlace {
    Header(HeaderName),
    Body(BodyPath),
}

/// As it stands in the file: `header` or `body`, one of them.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
struct ValuePartFile {
    /// The header; or `body`.
    header: Option<HeaderName>,
    /// The field in the JSON body; or `header`.
    body: Option<BodyPath>,
    /// What separates the parts, if the value is a list.
    separator: Option<char>,
    /// What a part must start with, and what is cut off.
    #[serde(default)]
    prefix: String,
}

/// Why a table says nothing about a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give one of header and body, not both and not neither")]
pub struct ValuePartError;

impl ValuePart {
    /// The header, if it is one.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            ValuePlace::Header(name) => Some(name),
            ValuePlace::Body(_) => None,
        }
    }

    /// The field in the body, if it is one.
    #[must_use]
    pub fn body(&self) -> Option<&BodyPath> {
        match &self.place {
            ValuePlace::Header(_) => None,
            ValuePlace::Body(path) => Some(path),
        }
    }

    /// The parts of `value` that start with the prefix, without it. Allocates nothing.
    pub fn parts<'v>(&'v self, value: &'v str) -> impl Iterator<Item = &'v str> {
        let (list, whole) = match self.separator {
            Some(separator) => (Some(value.split(separator).map(str::trim)), None),
            None => (None, Some(value)),
        };
        list.into_iter().flatten().chain(whole).filter_map(|part| part.strip_prefix(self.prefix.as_str()))
    }
}

impl TryFrom<ValuePartFile> for ValuePart {
    type Error = ValuePartError;

    fn try_from(file: ValuePartFile) -> Result<Self, Self::Error> {
        let place = match (file.header, file.body) {
            (Some(name), None) => ValuePlace::Header(name),
            (None, Some(path)) => ValuePlace::Body(path),
            (Some(_), Some(_)) | (None, None) => return Err(ValuePartError),
        };
        Ok(Self { place, separator: file.separator, prefix: file.prefix })
    }
}
