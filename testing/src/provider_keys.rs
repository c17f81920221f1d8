//! Keys for every provider: what it signs with, and what a source of it is given, in the forms that its file wants.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::provider::{Algorithm, KeyEncoding, KeyRule, Part, Provider, SignatureRule};

/// The URL that a provider was given, for those that sign it.
const PUBLIC_URL: &str = "https://hooks.example.com/webhooks/any";

/// A secret, or the two halves of one.
pub struct Keys {
    /// What the provider signs with; a private key in PKCS #8, in base64.
    pub signing: String,
    /// What its source is given.
    pub verifying: String,
}

impl Keys {
    /// Whether the provider signs with a private key, which its source does not have.
    #[must_use]
    pub fn are_a_pair(&self) -> bool {
        self.signing != self.verifying
    }
}

/// Keys for a provider's scheme. A secret is the same each time for a seed; pairs are new each time.
#[must_use]
pub fn keys(provider: &Provider, seed: &str) -> Keys {
    let raw = format!("a secret of some length: {seed}");
    let shared = |text: String| Keys { signing: text.clone(), verifying: text };
    match (provider.signature(), provider.signature().signed()) {
        (SignatureRule::Basic(_), _) => shared(format!("user:{raw}")),
        (_, None) => shared(raw),
        (_, Some((Algorithm::Hmac(_), rule))) => shared(written(&rule.key, raw.as_bytes())),
        (_, Some((algorithm, rule))) => {
            let (private, public) = pair(algorithm);
            Keys { signing: STANDARD.encode(private), verifying: written(&rule.key, &public) }
        }
    }
}

/// The configuration of a source of the provider's, `to-NAME`, with a secret in this file.
#[must_use]
pub fn source(provider: &Provider, secret: &Path) -> String {
    let template = provider.signature().signed().map(|(_, rule)| &rule.template);
    let signs_url = template.is_some_and(|template| template.has(&Part::Url));
    let url = if signs_url { format!("public_url = {PUBLIC_URL:?}\n") } else { String::new() };
    let parameters: Vec<&str> = template.map(|template| template.parameters().collect()).unwrap_or_default();
    let parameters: String = parameters.iter().map(|name| format!("parameters.{name} = \"any\"\n")).collect();
    let name = provider.name();
    format!("[sources.to-{name}]\nprovider = \"{name}\"\nsecrets = [{{ file = {secret:?} }}]\n{url}{parameters}")
}

fn pair(algorithm: Algorithm) -> (Vec<u8>, Vec<u8>) {
    if algorithm == Algorithm::Ed25519 {
        let pair = Ed25519KeyPair::generate().unwrap();
        return (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), pair.public_key().as_ref().to_vec());
    }
    if algorithm == Algorithm::EcdsaP256 {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        return (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public.as_ref().to_vec());
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (private.as_ref().to_vec(), public.as_ref().to_vec())
}

fn written(rule: &KeyRule, bytes: &[u8]) -> String {
    let text = match rule.encoding {
        KeyEncoding::Raw => String::from_utf8(bytes.to_vec()).unwrap(),
        KeyEncoding::Base64 => STANDARD.encode(bytes),
        KeyEncoding::Hex => hex::encode(bytes),
        KeyEncoding::Pem => {
            return format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(bytes));
        }
    };
    format!("{}{text}", rule.prefix)
}
