//! The hash that a body goes by, where a provider gives no id and where a body is kept.
//!
//! It is no signature: whoever has the body has its hash.

/// SHA-256 of a body.
#[must_use]
pub fn sha256(body: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
