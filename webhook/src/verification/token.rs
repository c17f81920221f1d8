//! The schemes that sign nothing: a shared token, HTTP basic authentication. The secret itself is sent.
//!
//! Compared by their hashes, so that the time taken tells neither where two differ nor how long the secret is.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;

use super::incoming::value;
use super::key::{self, SecretError};
use super::{Incoming, Refusal, Secret, Verified};
use crate::provider::ValuePart;

/// What basic authentication begins with (RFC 7617, section 2); the scheme's name is case-insensitive.
const BASIC: &str = "basic ";

/// A source's tokens, hashed.
pub(super) struct Scheme {
    kind: Kind,
    tokens: Vec<(Digest, Option<OffsetDateTime>)>,
}

enum Kind {
    Token(Vec<ValuePart>),
    Basic,
}

impl Scheme {
    pub(super) fn token(from: &[ValuePart], secrets: &[Secret]) -> Result<Self, SecretError> {
        Ok(Self { kind: Kind::Token(from.to_vec()), tokens: hashed(secrets, |_any| true)? })
    }

    pub(super) fn basic(secrets: &[Secret]) -> Result<Self, SecretError> {
        Ok(Self { kind: Kind::Basic, tokens: hashed(secrets, |text| text.contains(':'))? })
    }

    pub(super) fn verify(&self, request: Incoming<'_>) -> Result<Verified, Refusal> {
        let given = digest(&SHA256, &self.given(request)?);
        // No early end: every token is compared.
        let mut matched = None;
        for (index, (token, not_after)) in self.tokens.iter().enumerate() {
            let equal = verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok();
            matched = matched.or(equal.then_some((index, *not_after)));
        }
        match matched.ok_or(Refusal::NoSecretMatched)? {
            (index, Some(not_after)) if request.received_at > not_after => {
                Err(Refusal::SecretExpired { position: index + 1 })
            }
            (index, _) => Ok(Verified::BySecret { index }),
        }
    }

    /// The token that the request shows.
    fn given(&self, request: Incoming<'_>) -> Result<Vec<u8>, Refusal> {
        let Kind::Token(from) = &self.kind else { return basic(request) };
        for part in from {
            let Some(text) = value(part, request.headers, request.body)? else { continue };
            if text.is_empty() {
                return Err(Refusal::SignatureEmpty);
            }
            let mut texts = part.parts(&text);
            return match (texts.next(), texts.next()) {
                (Some(token), None) => Ok(token.as_bytes().to_vec()),
                (None, _) => Err(Refusal::SignatureMalformed),
                (Some(_), Some(_)) => Err(Refusal::TooManySignatures),
            };
        }
        Err(Refusal::SignatureMissing)
    }
}

fn basic(request: Incoming<'_>) -> Result<Vec<u8>, Refusal> {
    let text = request.headers.one("Authorization")?.ok_or(Refusal::SignatureMissing)?;
    if text.is_empty() {
        return Err(Refusal::SignatureEmpty);
    }
    let credentials = text.split_at_checked(BASIC.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BASIC));
    let (_, credentials) = credentials.ok_or(Refusal::SignatureMalformed)?;
    STANDARD.decode(credentials.trim()).map_err(|_not_base64| Refusal::SignatureEncoding)
}

fn hashed(
    secrets: &[Secret],
    right: impl Fn(&str) -> bool,
) -> Result<Vec<(Digest, Option<OffsetDateTime>)>, SecretError> {
    let hash = |(position, secret): (usize, &Secret)| {
        let text = secret.text.expose_secret();
        if text.is_empty() {
            return Err(SecretError::Empty { position });
        }
        if text.trim().len() != text.len() {
            return Err(SecretError::WhiteSpace { position });
        }
        if !right(text) {
            return Err(SecretError::NotBasic { position });
        }
        Ok((digest(&SHA256, text.as_bytes()), secret.not_after))
    };
    key::counted(secrets)?.enumerate().map(|(index, secret)| hash((index + 1, secret))).collect()
}
