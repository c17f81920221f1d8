//! The form of `providers/fixtures/<name>.toml`, and bending requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fixture_keys::pair;
use super::{Credentials, Headers, Incoming, Outgoing, Refusal, Secret, Signer, Verified, Verifier};
use crate::provider::{BATCH_TOPIC, Place, Provider};

/// A provider with the webhooks it is tried on.
pub(super) struct Fixture {
    pub(super) provider: Provider,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) published: Vec<Published>,
    source: Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    source: Source,
    webhook: Vec<Webhook>,
    #[serde(default)]
    published: Vec<Published>,
}

/// What a source knows beside its secrets.
#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields)]
struct Source {
    public_url: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    /// Not there if the body holds several.
    id: Option<String>,
    pub(super) topic: String,
    pub(super) body: String,
    #[serde(rename = "content_type")]
    _content_type: Option<String>,
    pub(super) elements: Option<Vec<Element>>,
}

/// One of several webhooks in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Element {
    pub(super) id: String,
    pub(super) topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    pub(super) from: String,
    secret: String,
    at: String,
    pub(super) id: Option<String>,
    pub(super) topic: String,
    body: String,
    query: Option<String>,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    source: Source,
}

/// A request as ingest sees it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) query: Option<String>,
    pub(super) received_at: OffsetDateTime,
}

/// Reads `providers/<name>.toml` and its fixture.
pub(super) fn read(path: &Path) -> Fixture {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let provider = Provider::parse(name, &path.display().to_string(), &fs::read_to_string(path).unwrap());
    let fixture = path.parent().unwrap().join("fixtures").join(format!("{name}.toml"));
    let text = fs::read_to_string(&fixture).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
    Fixture { provider: provider.unwrap(), webhooks: file.webhook, published: file.published, source: file.source }
}

/// The time at which requests are made here.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::parse("2026-11-23T14:30:00.75Z", &Rfc3339).unwrap()
}

impl Source {
    fn credentials(&self, secrets: impl IntoIterator<Item = Secret>) -> Credentials {
        Credentials {
            secrets: secrets.into_iter().collect(),
            public_url: self.public_url.clone(),
            parameters: self.parameters.clone(),
        }
    }
}

impl Webhook {
    /// The id that the whole body goes by.
    pub(super) fn id(&self) -> String {
        match &self.elements {
            Some(_) => hex::encode(crate::hash::sha256(self.body.as_bytes())),
            None => self.id.clone().unwrap(),
        }
    }
}

impl Fixture {
    /// What a source with the secrets made from these seeds knows.
    pub(super) fn credentials(&self, seeds: &[&str]) -> Credentials {
        self.source.credentials(seeds.iter().map(|seed| pair(&self.provider, seed).verifying.into()))
    }

    /// A verifier with the secrets made from these seeds.
    pub(super) fn verifier(&self, seeds: &[&str]) -> Verifier {
        Verifier::new(&self.provider, self.credentials(seeds)).unwrap()
    }

    /// Each webhook signed with the secret made from `seed`.
    pub(super) fn signed(&self, seed: &str) -> Vec<Request> {
        let credentials = self.source.credentials([pair(&self.provider, seed).signing.into()]);
        let signer = Signer::new(&self.provider, credentials).unwrap();
        let sign = |webhook: &Webhook| {
            let id = webhook.id();
            let topic = if webhook.elements.is_some() { BATCH_TOPIC } else { &webhook.topic };
            // The hash is not sent.
            let sent = match self.provider.id_places().first() {
                Some(Place::HeaderAndBodyHash(_)) => id.split(':').next().unwrap(),
                _ => &id,
            };
            let outgoing = Outgoing { id: sent, topic, body: webhook.body.as_bytes(), at: now() };
            let signed = signer.sign(outgoing).unwrap();
            Request {
                headers: signed.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
                body: signed.body,
                query: signed.query,
                received_at: now(),
            }
        };
        self.webhooks.iter().map(sign).collect()
    }

    /// Names of the headers that a signature may be in.
    pub(super) fn signature_headers(&self) -> Vec<String> {
        let places = self.provider.signature().places().iter();
        places.filter_map(|part| Some(part.header()?.as_str().to_owned())).collect()
    }
}

impl Published {
    /// The request as it was published.
    pub(super) fn request(&self) -> Request {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Request {
            headers: headers.collect(),
            body: self.body.clone().into_bytes(),
            query: self.query.clone(),
            received_at: OffsetDateTime::parse(&self.at, &Rfc3339).unwrap(),
        }
    }

    /// A verifier with the secret that was published.
    pub(super) fn verifier(&self, provider: &Provider) -> Verifier {
        let secret = secrecy::SecretString::from(self.secret.as_str());
        Verifier::new(provider, self.source.credentials([secret.into()])).unwrap()
    }
}

impl Request {
    pub(super) fn headers(&self) -> Headers<'_> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }

    pub(super) fn verify(&self, verifier: &Verifier) -> Result<Verified, Refusal> {
        let headers = self.headers();
        verifier.verify(Incoming {
            headers: &headers,
            query: self.query.as_deref(),
            body: &self.body,
            received_at: self.received_at,
        })
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
