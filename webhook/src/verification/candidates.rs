//! The signatures in a request: what somebody claims to be genuine, found, counted and decoded, and nothing more.
//!
//! Memory is bounded by [`MAX_CANDIDATES`] and [`MAX_SIGNATURE_BYTES`], not by what headers claim.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::incoming::value;
use super::{Headers, MAX_CANDIDATES, Refusal};
use crate::provider::{Algorithm, Encoding, Hash, SignedRule};

/// Longest signature there is: RSA with a key of 8192 bits.
const MAX_SIGNATURE_BYTES: usize = 1024;
/// Lengths of an ECDSA signature over P-256 in DER.
const ECDSA_BYTES: std::ops::RangeInclusive<usize> = 8..=72;
/// Lengths of an RSA signature with a key of 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=MAX_SIGNATURE_BYTES;

/// The signatures in `scope` and the headers: at least one, at most [`MAX_CANDIDATES`].
pub(super) fn candidates(
    algorithm: Algorithm,
    rule: &SignedRule,
    headers: &Headers<'_>,
    scope: &[u8],
) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut candidates = Vec::new();
    // The furthest we got; the most telling reason if nothing usable is found.
    let mut nearest = Refusal::SignatureMissing;
    let mut seen = 0;
    for part in &rule.from {
        let Some(text) = value(part, headers, scope)? else { continue };
        if text.is_empty() {
            nearest = Refusal::SignatureEmpty;
            continue;
        }
        nearest = Refusal::SignatureMalformed;
        for text in part.parts(&text) {
            seen += 1;
            if seen > MAX_CANDIDATES {
                return Err(Refusal::TooManySignatures);
            }
            candidates.extend(decode(rule.encoding, text).filter(|bytes| fits(algorithm, bytes.len())));
        }
    }
    match (candidates.is_empty(), seen) {
        (false, _) => Ok(candidates),
        (true, 0) => Err(nearest),
        (true, _) => Err(Refusal::SignatureEncoding),
    }
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MAX_SIGNATURE_BYTES {
        return None;
    }
    match encoding {
        Encoding::Hex => {
            let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if lower { hex::decode(text).ok() } else { None }
        }
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}

fn fits(algorithm: Algorithm, bytes: usize) -> bool {
    match algorithm {
        Algorithm::Hmac(Hash::Sha1) => bytes == 20,
        Algorithm::Hmac(Hash::Sha256) => bytes == 32,
        Algorithm::Hmac(Hash::Sha512) | Algorithm::Ed25519 => bytes == 64,
        Algorithm::EcdsaP256 => ECDSA_BYTES.contains(&bytes),
        Algorithm::Rsa => RSA_BYTES.contains(&bytes),
    }
}

/// A signature as the provider writes it, without prefix.
pub(super) fn encode(encoding: Encoding, signature: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hex::encode(signature),
        Encoding::Base64 => STANDARD.encode(signature),
    }
}
