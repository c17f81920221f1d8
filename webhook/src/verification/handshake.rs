//! Handshakes: genuine requests that ask whether we are there, and are no webhooks.
//!
//! Asked only of requests that were verified, so that nobody can have things signed or echoed who does not hold the secret.
//! Nothing of a handshake is kept.

use aws_lc_rs::hmac;
use serde_json::json;

use super::{Scheme, Verified, Verifier};
use crate::provider::{BodyPath, Found, HandshakeAnswer, Provider};

/// What a handshake is answered, with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The body's media type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Longest challenge that is answered, in bytes. Providers send a few dozen.
const MAX_CHALLENGE_BYTES: usize = 1024;

impl Verifier {
    /// The answer, if a request that passed as `verified` is one of the provider's handshakes.
    #[must_use]
    pub fn handshake(&self, provider: &Provider, verified: Verified, body: &[u8]) -> Option<Reply> {
        let is = |path: &BodyPath, value: &str| matches!(path.find(body), Found::Text(text) if text == value);
        let mut handshakes = provider.file().handshake.iter();
        let handshake = handshakes.find(|handshake| is(&handshake.when.body, &handshake.when.is))?;
        match &handshake.answer {
            HandshakeAnswer::Echo(path) => Some(Reply { content_type: TEXT, body: challenge(path, body)? }),
            HandshakeAnswer::Json(text) => Some(Reply { content_type: JSON, body: text.clone() }),
            HandshakeAnswer::HmacOf(path) => {
                let plain = challenge(path, body)?;
                let tag = hmac::sign(self.hmac_key(verified)?, plain.as_bytes());
                let answer = json!({ "plainToken": plain, "encryptedToken": hex::encode(tag) });
                Some(Reply { content_type: JSON, body: answer.to_string() })
            }
        }
    }

    fn hmac_key(&self, verified: Verified) -> Option<&hmac::Key> {
        match (&self.scheme, verified) {
            (Scheme::Signed(scheme), Verified::BySecret { index }) => scheme.hmac_key(index),
            _ => None,
        }
    }
}

/// A challenge that is safe to send back as text: printable ASCII, and not long.
fn challenge(path: &BodyPath, body: &[u8]) -> Option<String> {
    match path.find(body) {
        Found::Text(text)
            if text.len() <= MAX_CHALLENGE_BYTES && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) =>
        {
            Some(text.into_owned())
        }
        Found::Text(_) | Found::Nothing | Found::Other => None,
    }
}
