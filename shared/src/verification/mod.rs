//! Whether a webhook is genuine: its signature checked over the raw bytes, against the time of receipt.
//!
//! Fails closed: whatever is missing, given twice, malformed or too long is a [`Refusal`]; nothing but a
//! matching signature is [`Verified::BySecret`]. A source without verification must say so, and gets a
//! [`Verifier::unchecked`] of its own. Comparison takes constant time and every secret is always
//! tried, so that the time taken tells neither which secret matched nor where signatures differ. Work and memory are
//! bounded by the body and by [`MAX_CANDIDATES`], not by what headers claim.
//!
//! It does not catch replays: a captured request passes again within the timestamp's tolerance, and without
//! limit where the provider signs no time. Claims by id catch those, and where the id isn't signed, a
//! business key.

mod headers;
mod hmac;
mod key;
mod refusal;
mod signer;
mod timestamp;

use std::fmt;

use secrecy::SecretString;
use time::OffsetDateTime;

pub use headers::{HeaderError, Headers};
pub use key::SecretError;
pub use refusal::Refusal;
pub use signer::{Outgoing, Signer};

use crate::provider::{Provider, SignatureRule};

/// Most signatures looked at in one request; more are refused. Providers send one a secret in rotation.
pub const MAX_CANDIDATES: usize = 16;

/// Most secrets a source may have. Each costs one pass over the body per request.
pub const MAX_SECRETS: usize = 16;

/// How a webhook passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The signature was made with the secret at `index` of the source's list.
    BySecret {
        /// Position in the list given to [`Verifier::new`], from 0.
        index: usize,
    },
    /// The source says `verification = "none"`: nobody looked.
    Unchecked,
}

/// Checks the webhooks of one source. Keys are decoded once; verifying allocates next to nothing.
pub struct Verifier {
    scheme: Scheme,
}

enum Scheme {
    Hmac(hmac::Scheme),
    Unchecked,
}

impl Verifier {
    /// A verifier with the provider's rules and the source's secrets.
    ///
    /// # Errors
    /// [`SecretError`] if there is no secret, too many, or one that the provider's key encoding can't read. It
    /// tells which one, never its text.
    pub fn new(provider: &Provider, secrets: Vec<SecretString>) -> Result<Self, SecretError> {
        let scheme = match provider.signature() {
            SignatureRule::Hmac(rule) => Scheme::Hmac(hmac::Scheme::new(rule, provider.id_places(), &secrets)?),
        };
        Ok(Self { scheme })
    }

    /// For a source that says `verification = "none"` in so many words: lets everything pass.
    #[must_use]
    pub fn unchecked() -> Self {
        Self { scheme: Scheme::Unchecked }
    }

    /// Whether the request is genuine. `received_at` is when its head arrived.
    ///
    /// # Errors
    /// [`Refusal`] with a stable code if it is not.
    pub fn verify(&self, headers: &Headers<'_>, body: &[u8], received_at: OffsetDateTime) -> Result<Verified, Refusal> {
        match &self.scheme {
            Scheme::Hmac(scheme) => scheme.verify(headers, body, received_at).map(|index| Verified::BySecret { index }),
            Scheme::Unchecked => Ok(Verified::Unchecked),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.scheme {
            Scheme::Hmac(_) => "Verifier(hmac)",
            Scheme::Unchecked => "Verifier(none)",
        })
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
