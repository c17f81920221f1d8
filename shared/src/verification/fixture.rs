//! The form of `providers/fixtures/<name>.toml`, and bending requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Headers, Outgoing, Refusal, Signer, Verified, Verifier};
use crate::provider::{KeyEncoding, Provider, SignatureRule};

/// A provider with the webhooks it is tried on.
pub(super) struct Fixture {
    pub(super) provider: Provider,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) published: Vec<Published>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    webhook: Vec<Webhook>,
    #[serde(default)]
    published: Vec<Published>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    pub(super) from: String,
    pub(super) secret: String,
    at: String,
    pub(super) id: String,
    pub(super) topic: String,
    body: String,
    headers: BTreeMap<String, String>,
}

/// A request as ingest sees it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) received_at: OffsetDateTime,
}

/// Reads `providers/<name>.toml` and its fixture.
pub(super) fn read(path: &Path) -> Fixture {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let provider = Provider::parse(name, &path.display().to_string(), &fs::read_to_string(path).unwrap());
    let fixture = path.parent().unwrap().join("fixtures").join(format!("{name}.toml"));
    let text = fs::read_to_string(&fixture).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
    Fixture { provider: provider.unwrap(), webhooks: file.webhook, published: file.published }
}

/// The time at which requests are made here.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::parse("2026-11-23T14:30:00.75Z", &Rfc3339).unwrap()
}

/// A secret in the form that the provider's secrets have.
pub(super) fn secret(provider: &Provider, seed: &str) -> SecretString {
    let SignatureRule::Hmac(rule) = provider.signature();
    let prefix = &rule.key.prefix;
    let raw = format!("a secret of some length: {seed}");
    SecretString::from(match rule.key.encoding {
        KeyEncoding::Raw => format!("{prefix}{raw}"),
        KeyEncoding::Base64 => format!("{prefix}{}", STANDARD.encode(raw)),
        KeyEncoding::Hex => format!("{prefix}{}", hex::encode(raw)),
    })
}

impl Fixture {
    /// A verifier with the secrets made from these seeds.
    pub(super) fn verifier(&self, seeds: &[&str]) -> Verifier {
        let secrets = seeds.iter().map(|seed| secret(&self.provider, seed)).collect();
        Verifier::new(&self.provider, secrets).unwrap()
    }

    /// Each webhook signed with the secret made from `seed`.
    pub(super) fn signed(&self, seed: &str) -> Vec<Request> {
        let signer = Signer::new(&self.provider, secret(&self.provider, seed)).unwrap();
        let sign = |webhook: &Webhook| {
            let body = webhook.body.as_bytes();
            let outgoing = Outgoing { id: &webhook.id, topic: &webhook.topic, body, at: now() };
            let headers = signer.sign(outgoing).unwrap().into_iter();
            Request {
                headers: headers.map(|(name, value)| (name, value.into_bytes())).collect(),
                body: body.to_vec(),
                received_at: now(),
            }
        };
        self.webhooks.iter().map(sign).collect()
    }

    /// Names of the headers that a signature may be in.
    pub(super) fn signature_headers(&self) -> Vec<String> {
        let SignatureRule::Hmac(rule) = self.provider.signature();
        rule.from.iter().map(|part| part.header.as_str().to_owned()).collect()
    }
}

impl Published {
    /// The request as it was published.
    pub(super) fn request(&self) -> Request {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Request {
            headers: headers.collect(),
            body: self.body.clone().into_bytes(),
            received_at: OffsetDateTime::parse(&self.at, &Rfc3339).unwrap(),
        }
    }
}

impl Request {
    pub(super) fn headers(&self) -> Headers<'_> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }

    pub(super) fn verify(&self, verifier: &Verifier) -> Result<Verified, Refusal> {
        verifier.verify(&self.headers(), &self.body, self.received_at)
    }

    /// The same request with `change` applied to each header of one of these names.
    pub(super) fn with(&self, names: &[String], change: impl Fn(&mut Vec<u8>)) -> Self {
        let mut request = self.clone();
        for (name, value) in &mut request.headers {
            if names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
                change(value);
            }
        }
        request
    }

    /// The same request without the headers of these names.
    pub(super) fn without(&self, names: &[String]) -> Self {
        let mut request = self.clone();
        request.headers.retain(|(name, _)| !names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
        request
    }

    /// The same request with the headers of these names given twice.
    pub(super) fn twice(&self, names: &[String]) -> Self {
        let mut request = self.clone();
        let wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        let again: Vec<_> = self.headers.iter().filter(|(name, _)| wanted(name)).cloned().collect();
        request.headers.extend(again);
        request
    }
}
