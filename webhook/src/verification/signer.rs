//! The counterpart of verification: the request that a provider would send with a body.
//!
//! For tests, and for people who want to try a source without the provider's account. It writes the
//! first of each list of alternatives in the provider's file. Providers that sign with a private key can only be imitated
//! with a private key, in PKCS #8.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::candidates::encode;
use super::key::{self, Key};
use super::message::{self, Signed};
use super::stamp::{set, stamp};
use super::{Credentials, Headers, Refusal, SecretError, signed, timestamp};
use crate::hash::sha256;
use crate::provider::{
    Algorithm, ElementsPath, Part, Place, Provider, SignatureRule, SignedRule, TimestampUnit, ValuePart,
};

/// Signs webhooks as one provider with one secret.
pub struct Signer<'p> {
    provider: &'p Provider,
    credentials: Credentials,
    secret: SecretString,
    signing: Signing,
}

enum Signing {
    Hmac(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    /// The secret itself is sent.
    Token,
}

/// A webhook about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'w> {
    /// Its id; ignored if it has no place in the request.
    pub id: &'w str,
    /// Its topic; ignored if it has no place in the request.
    pub topic: &'w str,
    /// The raw body.
    pub body: &'w [u8],
    /// The time of sending.
    pub at: OffsetDateTime,
}

/// A webhook as the provider would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    /// Id, topic, timestamp and signature, as far as the provider puts them there.
    pub headers: Vec<(String, String)>,
    /// The body: as given, unless something had to be written into it.
    pub body: Vec<u8>,
    /// The query of the URL, where the body's hash is signed there in the form's stead.
    pub query: Option<String>,
}

/// Why a webhook can't be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The time can't be written as the provider writes it (a year beyond 9999).
    #[error("the time can't be written as this provider writes it")]
    Time,
    /// The body lacks what is signed.
    #[error("the body can't be signed: {0}")]
    Body(Refusal),
    /// The key refuses.
    #[error("the private key can't sign")]
    Key,
}

impl<'p> Signer<'p> {
    /// A signer with the provider's rules and the first of the secrets.
    ///
    /// # Errors
    /// [`SecretError`] as [`super::Verifier::new`]; [`SecretError::NotPublicKey`] also for a private key that can't be
    /// read.
    pub fn new(provider: &'p Provider, credentials: impl Into<Credentials>) -> Result<Self, SecretError> {
        let credentials = credentials.into();
        let first = key::counted(&credentials.secrets)?.next().ok_or(SecretError::None)?;
        let secret = first.text.clone();
        let signing = match provider.signature().signed() {
            Some((algorithm, rule)) => {
                if rule.template.has(&Part::Url) && credentials.public_url.is_none() {
                    return Err(SecretError::NoUrl);
                }
                signing(algorithm, rule, &secret)?
            }
            None => Signing::Token,
        };
        Ok(Self { provider, credentials, secret, signing })
    }

    /// The body with this id and topic written into it, where the provider has them there and they are not there already.
    #[must_use]
    pub fn named(&self, webhook: Outgoing<'_>) -> Vec<u8> {
        let mut body = webhook.body.to_vec();
        let found = self.provider.identify(&Headers::default(), webhook.body);
        let (id, topic) = found.as_ref().map_or(("", ""), |found| (found.id.as_str(), found.topic.as_str()));
        let wanted =
            [(self.provider.id_places(), webhook.id, id), (self.provider.topic_places(), webhook.topic, topic)];
        for (places, value, found) in wanted {
            if let Some(Place::Body(path)) = places.first()
                && !value.is_empty()
                && value != found
                && self.provider.file().batch.is_none()
            {
                stamp(&mut body, path, Value::from(value));
            }
        }
        body
    }

    /// The request to send. Of the body only timestamp and signature are changed, if they stand there.
    ///
    /// # Errors
    /// [`SignError`] if time, body or key don't allow it.
    pub fn sign(&self, webhook: Outgoing<'_>) -> Result<SignedWebhook, SignError> {
        let mut request = SignedWebhook { headers: Vec::new(), body: webhook.body.to_vec(), query: None };
        for (places, value) in [(self.provider.id_places(), webhook.id), (self.provider.topic_places(), webhook.topic)]
        {
            if let Some(Place::Header(name) | Place::HeaderAndBodyHash(name)) = places.first() {
                request.headers.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
        match self.provider.signature() {
            SignatureRule::Token(rule) => {
                if let Some(part) = rule.from.first() {
                    put(&mut request, part, self.secret.expose_secret());
                }
            }
            SignatureRule::Basic(_) => {
                let value = format!("Basic {}", STANDARD.encode(self.secret.expose_secret()));
                request.headers.push(("Authorization".to_owned(), value));
            }
            SignatureRule::Hmac(rule)
            | SignatureRule::Ed25519(rule)
            | SignatureRule::EcdsaP256(rule)
            | SignatureRule::Rsa(rule) => self.sign_template(&mut request, rule, webhook)?,
        }
        Ok(request)
    }

    fn sign_template(
        &self,
        request: &mut SignedWebhook,
        rule: &SignedRule,
        webhook: Outgoing<'_>,
    ) -> Result<(), SignError> {
        let sent_at = match &rule.timestamp {
            Some(rule) => timestamp::write(rule.unit, webhook.at).map_err(|_year| SignError::Time)?,
            None => String::new(),
        };
        if let Some((rule, part)) = rule.timestamp.as_ref().and_then(|rule| Some((rule, rule.from.first()?))) {
            match part.body() {
                Some(path) if rule.unit == TimestampUnit::Milliseconds => {
                    stamp(&mut request.body, path, sent_at.parse::<i64>().map_or(Value::Null, Value::from));
                }
                Some(path) => stamp(&mut request.body, path, Value::from(sent_at.as_str())),
                None => put(request, part, &sent_at),
            }
        }
        for part in rule.template.parts() {
            if let Part::Header(name) = part
                && !request.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name.as_str()))
            {
                // Headers that are signed and have no other meaning: anything that differs each time will do.
                let value = webhook.at.format(&Rfc3339).map_err(|_year| SignError::Time)?;
                request.headers.push((name.as_str().to_owned(), value));
            }
        }
        if let Some(each) = &rule.each {
            return self.sign_each(request, rule, each);
        }
        if let Some(name) = rule.body_sha256_in_query.as_ref().filter(|_| is_json(&request.body)) {
            request.query = Some(format!("{name}={}", hex::encode(sha256(&request.body))));
        }
        let id = if rule.template.has(&Part::Id) { webhook.id } else { "" };
        let signature = self.signature(rule, request, &request.body, (id, &sent_at))?;
        if let Some(part) = rule.from.first() {
            put(request, part, &encode(rule.encoding, &signature));
        }
        Ok(())
    }

    /// Signs each element of the body by itself.
    fn sign_each(&self, request: &mut SignedWebhook, rule: &SignedRule, each: &ElementsPath) -> Result<(), SignError> {
        let no_json = |_not_json: serde_json::Error| SignError::Body(Refusal::FieldNotText);
        let mut document: Value = serde_json::from_slice(&request.body).map_err(no_json)?;
        let Some(path) = rule.from.first().and_then(ValuePart::body) else { return Ok(()) };
        let mut error = None;
        each.for_each_mut(&mut document, &mut |element| {
            let bytes = element.to_string().into_bytes();
            match self.signature(rule, request, &bytes, ("", "")) {
                Ok(signature) => {
                    set(element, path, Value::from(encode(rule.encoding, &signature)));
                }
                Err(found) => error = Some(found),
            }
        });
        request.body = document.to_string().into_bytes();
        error.map_or(Ok(()), Err)
    }

    /// The signature over the rule's template; `named` are id and timestamp.
    fn signature(
        &self,
        rule: &SignedRule,
        request: &SignedWebhook,
        scope: &[u8],
        named: (&str, &str),
    ) -> Result<Vec<u8>, SignError> {
        let headers: Headers<'_> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let has_form = rule.template.has(&Part::Form) && request.query.is_none();
        let form = if has_form { message::sorted_form(&request.body) } else { String::new() };
        let public_url = self.credentials.public_url.as_deref().unwrap_or_default();
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let url = &format!("{public_url}{query}");
        let parameters = &self.credentials.parameters;
        let (id, timestamp) = named;
        let signed =
            Signed { id, timestamp, url, form: &form, body: &request.body, scope, headers: &headers, parameters };
        match &self.signing {
            Signing::Hmac(key) => {
                let tag = signed::tag(rule, key, signed).map_err(SignError::Body)?;
                Ok(tag.as_ref().to_vec())
            }
            private => private.sign(&message::whole(&rule.template, signed).map_err(SignError::Body)?),
        }
    }
}

impl Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let refused = |_unspecified| SignError::Key;
        match self {
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Ecdsa(pair) => Ok(pair.sign(&SystemRandom::new(), message).map_err(refused)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(refused)?;
                Ok(signature)
            }
            Self::Token => Ok(Vec::new()),
        }
    }
}

fn signing(algorithm: Algorithm, rule: &SignedRule, secret: &SecretString) -> Result<Signing, SecretError> {
    let unusable = || SecretError::NotPublicKey { position: 1 };
    if let Algorithm::Hmac(_) = algorithm {
        let mut keys = key::keys(algorithm, &rule.key, &[secret.clone().into()])?;
        let Some(Key::Hmac(key)) = keys.pop() else { return Err(unusable()) };
        return Ok(Signing::Hmac(key));
    }
    let pkcs8 = key::PADDING_OPTIONAL.decode(secret.expose_secret()).map_err(|_names_a_byte| unusable())?;
    let pair = match algorithm {
        Algorithm::Hmac(_) => None,
        Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).ok().map(Signing::Ed25519),
        Algorithm::EcdsaP256 => {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).ok().map(Signing::Ecdsa)
        }
        Algorithm::Rsa => RsaKeyPair::from_pkcs8(&pkcs8).ok().map(Signing::Rsa),
    };
    pair.ok_or_else(unusable)
}

/// Whether a body is JSON and no form. Only its first byte is looked at: it is the caller's own.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Writes a value where `part` would look for it, behind what is there already.
fn put(request: &mut SignedWebhook, part: &ValuePart, value: &str) {
    let text = format!("{}{value}", part.prefix);
    let Some(name) = part.header().map(|name| name.as_str()) else {
        if let Some(path) = part.body() {
            stamp(&mut request.body, path, Value::from(text));
        }
        return;
    };
    let given = request.headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name));
    match (given, part.separator) {
        (Some((_, list)), Some(separator)) => {
            list.push(separator);
            list.push_str(&text);
        }
        (Some((_, whole)), None) => *whole = text,
        (None, _) => request.headers.push((name.to_owned(), text)),
    }
}
