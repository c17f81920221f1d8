//! What a source brings to its provider's rules: secrets, the URL it is known by, and other values.

use std::collections::BTreeMap;

use secrecy::SecretString;
use time::OffsetDateTime;

/// One secret or public key. Several are in use while rotating.
#[derive(Debug, Clone)]
pub struct Secret {
    /// As people copy it from the provider's page.
    pub text: SecretString,
    /// From then on it proves nothing.
    pub not_after: Option<OffsetDateTime>,
}

/// Everything a source knows that its provider's rules need.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Any of them may have signed.
    pub secrets: Vec<Secret>,
    /// The URL that was given to the provider, without query; for providers that sign it.
    pub public_url: Option<String>,
    /// Values for `{parameter:NAME}`, by name.
    pub parameters: BTreeMap<String, String>,
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self { text, not_after: None }
    }
}

impl From<Vec<SecretString>> for Credentials {
    fn from(secrets: Vec<SecretString>) -> Self {
        Self { secrets: secrets.into_iter().map(Secret::from).collect(), ..Self::default() }
    }
}

impl From<SecretString> for Credentials {
    fn from(secret: SecretString) -> Self {
        vec![secret].into()
    }
}
