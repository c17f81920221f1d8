//! Secrets into keys: read once at start, so that a secret in the wrong form is a start-up error and not a
//! 401 for every webhook.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use x509_cert::der::{Decode as _, Encode as _};

use super::{MAX_SECRETS, Secret};
use crate::provider::{Algorithm, Hash, KeyEncoding, KeyRule};

/// People paste secrets with and without padding.
pub(super) const PADDING_OPTIONAL: GeneralPurpose = GeneralPurpose::new(
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
    /// The provider signs with a private key, and this is not the public one.
    #[error("secret {position} is not a public key of the provider's kind")]
    NotPublicKey {
        /// Which one.
        position: usize,
    },
    /// Basic authentication wants a user and a password.
    #[error("secret {position} is not user:password")]
    NotBasic {
        /// Which one.
        position: usize,
    },
    /// The provider signs the URL, so it must be known.
    #[error("public_url is missing: this provider signs the URL that it was given")]
    NoUrl,
    /// The provider signs a value that only the source knows.
    #[error("parameters.{0} is missing: this provider signs it")]
    NoParameter(String),
}

fn after(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!(" after {prefix:?}") }
}

/// What a secret became.
pub(super) enum Key {
    /// Signs and verifies.
    Hmac(Box<hmac::Key>),
    /// Verifies.
    Public(ParsedPublicKey),
}

/// One key for each secret, in their order.
pub(super) fn keys(algorithm: Algorithm, rule: &KeyRule, secrets: &[Secret]) -> Result<Vec<Key>, SecretError> {
    let key = |(position, secret): (usize, &Secret)| {
        let bytes = decode(rule, position, secret.text.expose_secret())?;
        key(algorithm, &bytes).ok_or(SecretError::NotPublicKey { position })
    };
    counted(secrets)?.enumerate().map(|(index, secret)| key((index + 1, secret))).collect()
}

/// The secrets, if there are some and not too many.
pub(super) fn counted(secrets: &[Secret]) -> Result<impl Iterator<Item = &Secret>, SecretError> {
    match secrets.len() {
        0 => Err(SecretError::None),
        1..=MAX_SECRETS => Ok(secrets.iter()),
        many => Err(SecretError::TooMany(many)),
    }
}

fn key(algorithm: Algorithm, bytes: &[u8]) -> Option<Key> {
    let public = match algorithm {
        Algorithm::Hmac(hash) => return Some(Key::Hmac(Box::new(hmac::Key::new(hmac_algorithm(hash), bytes)))),
        Algorithm::Ed25519 => ParsedPublicKey::new(&ED25519, bytes),
        Algorithm::EcdsaP256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes),
        Algorithm::Rsa => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes),
    };
    public.ok().map(Key::Public)
}

/// A secret's bytes, without the prefix.
pub(super) fn decode(rule: &KeyRule, position: usize, secret: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if rule.encoding != KeyEncoding::Pem && secret.trim().len() != secret.len() {
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
        KeyEncoding::Pem => pem(text.as_bytes()).ok_or(SecretError::NotPublicKey { position })?,
    });
    if bytes.is_empty() { Err(SecretError::Empty { position }) } else { Ok(bytes) }
}

/// The public key in a PEM file that holds one, or a certificate.
fn pem(text: &[u8]) -> Option<Vec<u8>> {
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(text) {
        return Some(key.to_vec());
    }
    let certificate = CertificateDer::from_pem_slice(text).ok()?;
    let certificate = x509_cert::Certificate::from_der(&certificate).ok()?;
    certificate.tbs_certificate.subject_public_key_info.to_der().ok()
}

fn hmac_algorithm(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}
