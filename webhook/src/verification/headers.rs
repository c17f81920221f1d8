//! The request's headers as verification sees them: names without case, values as bytes, and no header that
//! matters given twice.
//!
//! Two headers of one name are how a request gets two readings: one part of a system takes the first,
//! another the last. So [`Headers::one`] refuses instead of choosing.

/// A borrowed list of header names and values, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Headers<'r>(Vec<(&'r str, &'r [u8])>);

/// Why a header's value can't be used. Names the header, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Given more than once.
    #[error("header {header} was given more than once")]
    Twice {
        /// Its name.
        header: String,
    },
    /// It has bytes outside printable ASCII.
    #[error("header {header} is not printable ASCII")]
    NotText {
        /// Its name.
        header: String,
    },
}

impl<'r> Headers<'r> {
    /// From pairs of name and value.
    pub fn new(pairs: impl IntoIterator<Item = (&'r str, &'r [u8])>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The value of the header `name`, without white space around it, or `None` if it isn't there.
    ///
    /// An empty value is `Some("")`: the header was sent.
    ///
    /// # Errors
    /// [`HeaderError`] if it was given more than once (even with the same value), or holds anything but
    /// printable ASCII.
    pub fn one(&self, name: &str) -> Result<Option<&'r str>, HeaderError> {
        let mut values = self.0.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(HeaderError::Twice { header: name.to_owned() });
        }
        let value = value.trim_ascii();
        match str::from_utf8(value) {
            Ok(text) if value.iter().all(|byte| (b' '..=b'~').contains(byte)) => Ok(Some(text)),
            Ok(_) | Err(_) => Err(HeaderError::NotText { header: name.to_owned() }),
        }
    }
}

impl<'r> FromIterator<(&'r str, &'r [u8])> for Headers<'r> {
    fn from_iter<I: IntoIterator<Item = (&'r str, &'r [u8])>>(pairs: I) -> Self {
        Self::new(pairs)
    }
}
