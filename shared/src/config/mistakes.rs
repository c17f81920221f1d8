//! Configuration mistakes: collected, located in the file, and shown all at once.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// One thing that is wrong in the configuration, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key's path, such as `routes.order-paid.effects[1]`; empty for the whole file.
    pub key: String,
    /// The value found there, shortened; `None` where nothing was found.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub problem: String,
    /// The line in the file, from 1; `None` where it cannot be told.
    pub line: Option<usize>,
}

/// Why a configuration file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {file}")]
    Unreadable {
        /// The file's path.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file has mistakes: every one of them.
    #[error("{}", listing(file, mistakes))]
    Mistaken {
        /// The file's path.
        file: String,
        /// In the order of the file.
        mistakes: Vec<Mistake>,
    },
}

fn listing(file: &str, mistakes: &[Mistake]) -> String {
    let count = mistakes.len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    let lines: String = mistakes.iter().map(|mistake| format!("\n  {file}{mistake}")).collect();
    format!("{count} {noun} in {file}:{lines}")
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.problem)
    }
}

const SECRET_FORM: &str = "give the secret's place, not the secret: { env = \"NAME\" } or { file = \"/run/secrets/name\" }, perhaps with not_after = 2026-12-31T00:00:00Z";

/// Whether a secret may stand at this key, by somebody's mistake.
fn is_secret(key: &str) -> bool {
    key.contains(".secrets") || key.contains(".verify_token")
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds one; `key` is a dotted path as in [`Mistake::key`].
    pub(super) fn add(&mut self, key: impl Into<String>, value: Option<String>, problem: impl Into<String>) {
        let key = key.into();
        // Whoever writes a secret where its place belongs must not read it in a log.
        let secret = is_secret(&key);
        let value = value.filter(|_| !secret).map(|text| shorten(&text));
        let problem = if secret { SECRET_FORM.to_owned() } else { problem.into() };
        self.0.push(Mistake { key, value, problem, line: None });
    }

    /// Adds one whose line is known already (syntax errors).
    pub(super) fn add_at(&mut self, line: usize, problem: impl Into<String>) {
        self.0.push(Mistake { key: String::new(), value: None, problem: problem.into(), line: Some(line) });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks up each mistake's line and sorts them as they stand in the file.
    pub(super) fn into_error(mut self, file: &str, text: &str) -> ConfigError {
        if let Ok(document) = DeTable::parse(text) {
            for mistake in self.0.iter_mut().filter(|mistake| mistake.line.is_none()) {
                let (offset, value) = locate(document.get_ref(), &mistake.key);
                mistake.line = offset.map(|offset| line_at(text, offset));
                let shown = !is_secret(&mistake.key);
                mistake.value = mistake.value.take().or(value).filter(|_| shown);
            }
        }
        self.0.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        ConfigError::Mistaken { file: file.to_owned(), mistakes: self.0 }
    }
}

/// One long value must not hide the message.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_CHARS {
        return line;
    }
    let head: String = line.chars().take(MAX_CHARS).collect();
    format!("{head}…")
}

/// Where the deepest known part of the key's path stands, and the value if the whole path is there
/// and it is a simple one.
fn locate(document: &DeTable<'_>, key: &str) -> (Option<usize>, Option<String>) {
    let mut segments = key.split(['.', '[']).map(|segment| segment.trim_end_matches(']'));
    let first = segments.next().and_then(|first| document.get_key_value(first));
    let Some((name, mut value)) = first else { return (None, None) };
    let mut offset = name.span().start;
    for segment in segments {
        if let Some((name, inner)) = value.get_ref().as_table().and_then(|table| table.get_key_value(segment)) {
            offset = name.span().start;
            value = inner;
        } else if let Some(inner) = segment.parse::<usize>().ok().and_then(|index| value.get_ref().get(index)) {
            offset = inner.span().start;
            value = inner;
        } else {
            return (Some(offset), None);
        }
    }
    (Some(offset), simple(value.get_ref()))
}

fn simple(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(shorten(&format!("{:?}", text.split_whitespace().collect::<Vec<_>>().join(" ")))),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The line, from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
