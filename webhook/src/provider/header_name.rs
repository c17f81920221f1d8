//! A header's name, checked when the provider file is read, so that looking it up can't fail.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

/// The name of an HTTP field, as the provider writes it (RFC 9110, section 5.1). Compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(test, schemars(with = "String"))]
pub struct HeaderName(String);

/// Why a text is no header name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no header name: 1 to 100 letters, digits, hyphens and underscores, such as \"X-Hub-Signature-256\"")]
pub struct HeaderNameError(String);

impl HeaderName {
    /// The name as the provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same header.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl TryFrom<String> for HeaderName {
    type Error = HeaderNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=100).contains(&name.len()) && name.bytes().all(known) {
            Ok(Self(name))
        } else {
            Err(HeaderNameError(name))
        }
    }
}
