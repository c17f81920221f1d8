//! References to secrets: `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`.
//!
//! The file names where a secret is, never what it is. Only the process that needs it resolves it.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a trailing line break is not part of the secret.
    File(PathBuf),
}

/// One of a source's secrets: where it is, and until when it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SourceSecretTable")]
pub struct SourceSecret {
    /// Where it is.
    pub place: SecretRef,
    /// From then on it proves nothing; for the old one of a rotation.
    pub not_after: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSecretTable {
    env: Option<String>,
    file: Option<PathBuf>,
    not_after: Option<toml::value::Datetime>,
}

/// Why a table names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SourceSecretError {
    #[error("give one of env and file")]
    Place,
    #[error("not_after wants a date, a time and an offset, such as 2026-12-31T00:00:00Z")]
    NotAfter,
}

impl TryFrom<SourceSecretTable> for SourceSecret {
    type Error = SourceSecretError;

    fn try_from(table: SourceSecretTable) -> Result<Self, Self::Error> {
        let place = match (table.env, table.file) {
            (Some(name), None) => SecretRef::Env(name),
            (None, Some(path)) => SecretRef::File(path),
            (Some(_), Some(_)) | (None, None) => return Err(SourceSecretError::Place),
        };
        let time = |text: toml::value::Datetime| OffsetDateTime::parse(&text.to_string(), &Rfc3339);
        let not_after = table.not_after.map(time).transpose().map_err(|_no_offset| SourceSecretError::NotAfter)?;
        Ok(Self { place, not_after })
    }
}

/// Why a secret cannot be had. Never shows the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not text.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// The variable or the file is there and empty: an empty key would let anyone sign.
    #[error("{0} is empty")]
    Empty(String),
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file's path.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl SecretRef {
    /// Fetches the secret.
    ///
    /// # Errors
    /// When the variable or file is missing or empty.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
        let secret = match self {
            Self::Env(name) => std::env::var(name).map_err(|_not_text| SecretError::Unset(name.clone()))?,
            Self::File(path) => {
                let file = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|source| SecretError::Unreadable { file, source })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if secret.is_empty() {
            return Err(SecretError::Empty(self.place()));
        }
        Ok(SecretString::from(secret))
    }

    /// What a person would look for: the variable's or the file's name.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => format!("the file {}", path.display()),
        }
    }
}
