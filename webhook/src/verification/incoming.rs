//! A request as verification sees it, and the values in it that the rules of a provider name.

use std::borrow::Cow;

use time::OffsetDateTime;

use super::{Headers, Refusal};
use crate::provider::{Found, ValuePart};

/// A request whose origin is to be proved.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'r> {
    /// Its headers.
    pub headers: &'r Headers<'r>,
    /// What follows the `?` in its URL, if there is one; as it was sent.
    pub query: Option<&'r str>,
    /// Its raw body.
    pub body: &'r [u8],
    /// When its head arrived.
    pub received_at: OffsetDateTime,
}

/// The whole value that a part is cut from, if it is there. Paths into the body begin in `scope`.
pub(super) fn value<'r>(
    part: &ValuePart,
    headers: &Headers<'r>,
    scope: &'r [u8],
) -> Result<Option<Cow<'r, str>>, Refusal> {
    if let Some(name) = part.header() {
        return Ok(headers.one(name.as_str())?.map(Cow::Borrowed));
    }
    match part.body().map(|path| path.find(scope)) {
        Some(Found::Text(text)) => Ok(Some(text)),
        Some(Found::Other) => Err(Refusal::FieldNotText),
        Some(Found::Nothing) | None => Ok(None),
    }
}
