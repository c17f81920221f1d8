//! Whether a webhook is genuine: its signature checked over the raw bytes, against the time of receipt.
//!
//! Fails closed: whatever is missing, given twice, malformed or too long is a [`Refusal`]; nothing but a
//! matching signature is [`Verified::BySecret`]. A source without verification must say so, and gets a
//! [`Verifier::unchecked`] of its own. Comparison takes constant time and every secret is always
//! tried, so that the time taken does not tell where signatures differ (`examples/constant_time.rs` measures it). Work and
//! memory are bounded by the body and by [`MAX_CANDIDATES`], not by what headers claim.
//!
//! It does not catch replays: a captured request passes again within the timestamp's tolerance, and without
//! limit where the provider signs no time. Claims by id catch those, and where the id isn't signed, a
//! business key.

mod candidates;
mod certificate;
mod explain;
mod handshake;
mod headers;
mod incoming;
mod key;
mod message;
mod refusal;
mod secret;
mod signed;
mod signer;
mod stamp;
mod timestamp;
mod token;

use std::fmt;

pub use certificate::{Authorities, Certificate, CertificateError, Certificates, MAX_CERTIFICATE_BYTES};
pub use explain::{Explanation, Step};
pub use handshake::Reply;
pub use headers::{HeaderError, Headers};
pub use incoming::Incoming;
pub use key::SecretError;
pub use refusal::Refusal;
pub use secret::{Credentials, Secret};
pub use signer::{Outgoing, SignError, SignedWebhook, Signer};

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
    /// The signature was made with the key of a certificate that the provider serves.
    ByCertificate,
    /// The source says `verification = "none"`: nobody looked.
    Unchecked,
}

/// Checks the webhooks of one source. Keys are decoded once; verifying allocates next to nothing.
pub struct Verifier {
    scheme: Scheme,
}

enum Scheme {
    Signed(Box<signed::Scheme>),
    Token(token::Scheme),
    Unchecked,
}

impl Verifier {
    /// A verifier with the provider's rules and what the source knows.
    ///
    /// # Errors
    /// [`SecretError`] if there is no secret, too many, one that the provider's key encoding can't read, or if the URL or a
    /// parameter is missing that the provider signs. It tells which, never a secret's text.
    pub fn new(provider: &Provider, credentials: impl Into<Credentials>) -> Result<Self, SecretError> {
        Self::with_certificates(provider, credentials, Certificates::default())
    }

    /// The same, with certificates that somebody else fetches and adds.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_certificates(
        provider: &Provider,
        credentials: impl Into<Credentials>,
        certificates: Certificates,
    ) -> Result<Self, SecretError> {
        let credentials = credentials.into();
        let scheme = match (provider.signature(), provider.signature().signed()) {
            (_, Some((algorithm, rule))) => {
                let scheme = signed::Scheme::new(provider, algorithm, rule, &credentials, certificates)?;
                Scheme::Signed(Box::new(scheme))
            }
            (SignatureRule::Token(rule), None) => {
                Scheme::Token(token::Scheme::token(&rule.from, &credentials.secrets)?)
            }
            (_, None) => Scheme::Token(token::Scheme::basic(&credentials.secrets)?),
        };
        Ok(Self { scheme })
    }

    /// For a source that says `verification = "none"` in so many words: lets everything pass.
    #[must_use]
    pub fn unchecked() -> Self {
        Self { scheme: Scheme::Unchecked }
    }

    /// Whether the request is genuine.
    ///
    /// # Errors
    /// [`Refusal`] with a stable code if it is not; [`Refusal::CertificateUnknown`] if that can't be told before a
    /// certificate is fetched.
    pub fn verify(&self, request: Incoming<'_>) -> Result<Verified, Refusal> {
        match &self.scheme {
            Scheme::Signed(scheme) => scheme.verify(request),
            Scheme::Token(scheme) => scheme.verify(request),
            Scheme::Unchecked => Ok(Verified::Unchecked),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.scheme {
            Scheme::Signed(_) => "Verifier(signed)",
            Scheme::Token(_) => "Verifier(token)",
            Scheme::Unchecked => "Verifier(none)",
        })
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fixture_keys;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
