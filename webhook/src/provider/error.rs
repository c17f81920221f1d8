//! What is wrong with a provider file, said so that it can be put right: file, key, value, what would be right.

use std::fmt;

/// Why a provider file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The file or its folder can't be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML, or has an unknown key, or lacks one, or a value of the wrong kind.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// Its values contradict each other or are out of bounds. Lists every mistake.
    #[error("{path}: {}", listed(mistakes))]
    Invalid {
        /// The file.
        path: String,
        /// All of them, at least one.
        mistakes: Vec<Mistake>,
    },
}

/// One mistake in a provider file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, dotted from the top of the file.
    pub key: &'static str,
    /// The value that is wrong.
    pub value: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}, should be {}", self.key, self.value, self.right)
    }
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")
}
