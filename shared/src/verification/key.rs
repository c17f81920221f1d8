//! Secrets into keys: read once at start, so that a secret in the wrong form is a start-up error and not a
//! 401 for every webhook.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::MAX_SECRETS;
use crate::provider::{Hash, KeyEncoding, KeyRule};

/// People paste secrets with and without padding.
const PADDING_OPTIONAL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a source's secrets can't be used. `position` counts from 1; the secret itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing to verify with.
    #[error("no secret: give at least one, or say verification = \"none\"")]
    None,
    /// More than are ever tried.
    #[error("{0} secrets, at most {MAX_SECRETS}")]
    TooMany(usize),
    /// Empty, once the prefix is off.
    #[error("secret {position} is empty")]
    Empty {
        /// Which one.
        position: usize,
    },
    /// Starts or ends with white space, which was hardly meant.
    #[error("secret {position} starts or ends with white space")]
    WhiteSpace {
        /// Which one.
        position: usize,
    },
    /// The provider writes its secrets in base64.
    #[error("secret {position} is not base64{}, as this provider's secrets are", after(prefix))]
    NotBase64 {
        /// Which one.
        position: usize,
        /// What stands before the base64, or nothing.
        prefix: String,
    },
    /// The provider writes its secrets in hexadecimal.
    #[error("secret {position} is not hexadecimal{}, as this provider's secrets are", after(prefix))]
    NotHex {
        /// Which one.
        position: usize,
        /// What stands before the digits, or nothing.
        prefix: String,
    },
}

fn after(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!(" after {prefix:?}") }
}

/// One key for each secret, in their order.
pub(super) fn keys(hash: Hash, rule: &KeyRule, secrets: &[SecretString]) -> Result<Vec<hmac::Key>, SecretError> {
    match secrets.len() {
        0 => Err(SecretError::None),
        1..=MAX_SECRETS => (1..)
            .zip(secrets)
            .map(|(position, secret)| {
                let bytes = decode(rule, position, secret.expose_secret())?;
                Ok(hmac::Key::new(algorithm(hash), &bytes))
            })
            .collect(),
        many => Err(SecretError::TooMany(many)),
    }
}

fn decode(rule: &KeyRule, position: usize, secret: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if secret.trim().len() != secret.len() {
        return Err(SecretError::WhiteSpace { position });
    }
    let text = secret.strip_prefix(rule.prefix.as_str()).unwrap_or(secret);
    let prefix = || rule.prefix.clone();
    // The decoders' own errors name offending bytes of the secret, so they stop here.
    let bytes = Zeroizing::new(match rule.encoding {
        KeyEncoding::Raw => text.as_bytes().to_vec(),
        KeyEncoding::Base64 => PADDING_OPTIONAL
            .decode(text)
            .map_err(|_names_a_byte| SecretError::NotBase64 { position, prefix: prefix() })?,
        KeyEncoding::Hex => {
            hex::decode(text).map_err(|_names_a_byte| SecretError::NotHex { position, prefix: prefix() })?
        }
    });
    if bytes.is_empty() { Err(SecretError::Empty { position }) } else { Ok(bytes) }
}

fn algorithm(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}
