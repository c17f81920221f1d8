//! The names that a user gives to sources, routes and effects, checked once at the edge.
//!
//! A name stands in URLs (`/webhooks/{source}`), metric labels and idempotency keys, so it is a
//! short slug from a closed alphabet; code behind the edge never checks it again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// A slug: 1 to 64 bytes of `a-z`, `0-9` and `-`, beginning with a letter. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A text that is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: use 1 to 64 of a-z, 0-9 and '-', beginning with a letter")]
pub struct NameError(String);

impl Name {
    /// The name of what could not be read.
    #[must_use]
    pub fn unknown() -> Self {
        Self(Arc::from("unknown"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        let begins_with_letter = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if begins_with_letter && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameError(text.chars().take(MAX_NAME_BYTES).collect()))
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl garde::error::PathComponentKind for Name {
    fn component_kind() -> garde::error::Kind {
        garde::error::Kind::Key
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_names_and_nothing_else_is() {
        for good in ["shopify", "standard-webhooks", "s3"] {
            assert_eq!(Name::try_from(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for bad in ["", "3d", "-a", "Shopify", "a b", "a/b", "a.b", "ü", long.as_str()] {
            assert!(Name::try_from(bad).is_err(), "{bad:?} passed");
        }
    }
}
