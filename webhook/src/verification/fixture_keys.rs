//! Keys for fixtures: what a signer signs with and what a verifier is given, in the forms that a provider has.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use crate::provider::{Algorithm, KeyEncoding, KeyRule, Provider, SignatureRule};

/// A secret, or the two halves of one.
#[derive(Clone)]
pub(super) struct KeyPair {
    pub(super) signing: SecretString,
    pub(super) verifying: SecretString,
}

impl KeyPair {
    fn shared(text: &str) -> Self {
        Self { signing: text.into(), verifying: text.into() }
    }
}

/// The same pair each time for a provider's scheme and a seed.
pub(super) fn pair(provider: &Provider, seed: &str) -> KeyPair {
    let raw = format!("a secret of some length: {seed}");
    match (provider.signature(), provider.signature().signed()) {
        (SignatureRule::Basic(_), _) => KeyPair::shared(&format!("user:{raw}")),
        (_, None) => KeyPair::shared(&raw),
        (_, Some((Algorithm::Hmac(_), rule))) => KeyPair::shared(&written(&rule.key, raw.as_bytes())),
        (_, Some((algorithm, rule))) => {
            let (pkcs8, public) = generated(algorithm, seed);
            KeyPair { signing: STANDARD.encode(pkcs8).into(), verifying: written(&rule.key, &public).into() }
        }
    }
}

fn written(rule: &KeyRule, bytes: &[u8]) -> String {
    match rule.encoding {
        KeyEncoding::Raw => format!("{}{}", rule.prefix, std::str::from_utf8(bytes).unwrap()),
        KeyEncoding::Base64 => format!("{}{}", rule.prefix, STANDARD.encode(bytes)),
        KeyEncoding::Hex => format!("{}{}", rule.prefix, hex::encode(bytes)),
        KeyEncoding::Pem => {
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(bytes))
        }
    }
}

/// Private key in PKCS #8 and public key, as verifiers take it.
type Generated = (Vec<u8>, Vec<u8>);

/// RSA keys take a while to find, so each is made once.
fn generated(algorithm: Algorithm, seed: &str) -> Generated {
    static MADE: OnceLock<Mutex<HashMap<String, Generated>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(format!("{algorithm:?} {seed}")).or_insert_with(|| generate(algorithm, seed)).clone()
}

fn generate(algorithm: Algorithm, seed: &str) -> Generated {
    match algorithm {
        Algorithm::Hmac(_) => unreachable!("an HMAC's key is no pair"),
        Algorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_seed_unchecked(digest(&SHA256, seed.as_bytes()).as_ref()).unwrap();
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        }
        Algorithm::EcdsaP256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public.as_ref().to_vec())
        }
        Algorithm::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            (private.as_ref().to_vec(), public.as_ref().to_vec())
        }
    }
}
