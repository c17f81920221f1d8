//! The schemes that sign a template: HMAC, Ed25519, ECDSA and RSA.

use std::collections::BTreeMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use time::OffsetDateTime;

use super::certificate::{self, Certificates};
use super::key::{self, Key};
use super::message::{self, Signed};
use super::{Credentials, Headers, Incoming, Refusal, SecretError, Verified, candidates, timestamp};
use crate::provider::{Algorithm, HeaderName, Part, Place, Provider, SignedRule, SplitError};

/// A provider's rule with a source's keys.
pub(super) struct Scheme {
    pub(super) algorithm: Algorithm,
    pub(super) rule: SignedRule,
    id_headers: Vec<HeaderName>,
    keys: Vec<Key>,
    not_after: Vec<Option<OffsetDateTime>>,
    public_url: Option<String>,
    parameters: BTreeMap<String, String>,
    certificates: Certificates,
}

impl Scheme {
    pub(super) fn new(
        provider: &Provider,
        algorithm: Algorithm,
        rule: &SignedRule,
        credentials: &Credentials,
        certificates: Certificates,
    ) -> Result<Self, SecretError> {
        // A certificate can be fetched; then a source needs no key of its own.
        let fetched = rule.certificate.is_some() && credentials.secrets.is_empty();
        let keys = if fetched { Vec::new() } else { key::keys(algorithm, &rule.key, &credentials.secrets)? };
        if rule.template.has(&Part::Url) && credentials.public_url.is_none() {
            return Err(SecretError::NoUrl);
        }
        if let Some(name) = rule.template.parameters().find(|name| !credentials.parameters.contains_key(*name)) {
            return Err(SecretError::NoParameter(name.to_owned()));
        }
        let id_headers = provider.id_places().iter().filter_map(|place| match place {
            Place::Header(name) | Place::HeaderAndBodyHash(name) => Some(name.clone()),
            _ => None,
        });
        Ok(Self {
            algorithm,
            rule: rule.clone(),
            id_headers: id_headers.collect(),
            keys,
            not_after: credentials.secrets.iter().map(|secret| secret.not_after).collect(),
            public_url: credentials.public_url.clone(),
            parameters: credentials.parameters.clone(),
            certificates,
        })
    }

    /// Who made the signature of the request, or of each of its elements.
    pub(super) fn verify(&self, request: Incoming<'_>) -> Result<Verified, Refusal> {
        let Some(each) = &self.rule.each else { return self.verify_one(request, request.body) };
        let mut elements = Vec::new();
        each.find(request.body, &mut elements).map_err(|error| match error {
            SplitError::NoElements => Refusal::SignatureMissing,
            SplitError::TooMany => Refusal::TooManySignatures,
        })?;
        let mut verified = Err(Refusal::SignatureMissing);
        for element in elements {
            verified = Ok(self.verify_one(request, element)?);
        }
        verified
    }

    fn verify_one(&self, request: Incoming<'_>, scope: &[u8]) -> Result<Verified, Refusal> {
        let candidates = candidates::candidates(self.algorithm, &self.rule, request.headers, scope)?;
        let timestamp = match &self.rule.timestamp {
            Some(rule) => timestamp::check(rule, request.headers, scope, request.received_at)?,
            None => "".into(),
        };
        let id = if self.rule.template.has(&Part::Id) { self.id(request.headers)? } else { "" };
        let form = self.form(request)?;
        let urls = self.urls(request);
        let signed = |url| Signed {
            id,
            timestamp: &timestamp,
            url,
            form: &form,
            body: request.body,
            scope,
            headers: request.headers,
            parameters: &self.parameters,
        };
        if self.keys.is_empty() {
            return self.by_certificate(request, signed(""), &candidates);
        }
        // No early end: every key is tried on every candidate.
        let mut matched = Vec::new();
        for url in &urls {
            let keys = self.matches(signed(url), &candidates)?.into_iter().enumerate();
            matched.extend(keys.filter(|(_, equal)| *equal).map(|(index, _)| index));
        }
        self.in_use(&matched, request.received_at)
    }

    /// For each key, whether it made one of the candidates.
    fn matches(&self, signed: Signed<'_>, candidates: &[Vec<u8>]) -> Result<Vec<bool>, Refusal> {
        let whole = match self.algorithm {
            Algorithm::Hmac(_) => Vec::new(),
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa => message::whole(&self.rule.template, signed)?,
        };
        let made_by = |key: &Key| -> Result<bool, Refusal> {
            Ok(match key {
                Key::Hmac(key) => {
                    let tag = tag(&self.rule, key, signed)?;
                    let equal = |candidate: &Vec<u8>| verify_slices_are_equal(tag.as_ref(), candidate).is_ok();
                    candidates.iter().fold(false, |any, candidate| equal(candidate) | any)
                }
                // What is compared here is public: there is nothing for the time taken to tell.
                Key::Public(key) => candidates.iter().any(|candidate| key.verify_sig(&whole, candidate).is_ok()),
            })
        };
        self.keys.iter().map(made_by).collect()
    }

    fn by_certificate(
        &self,
        request: Incoming<'_>,
        signed: Signed<'_>,
        candidates: &[Vec<u8>],
    ) -> Result<Verified, Refusal> {
        let rule = self.rule.certificate.as_ref().ok_or(Refusal::NoSecretMatched)?;
        let url = certificate::wanted(rule, request.headers)?;
        let certificate =
            self.certificates.get(url).ok_or_else(|| Refusal::CertificateUnknown { url: url.to_owned() })?;
        if !certificate.is_valid_at(request.received_at) {
            return Err(Refusal::CertificateExpired);
        }
        let whole = message::whole(&self.rule.template, signed)?;
        let genuine = candidates.iter().any(|candidate| certificate.key.verify_sig(&whole, candidate).is_ok());
        if genuine { Ok(Verified::ByCertificate) } else { Err(Refusal::NoSecretMatched) }
    }

    /// The first of the secrets that matched whose time is not over. While it rotates, a provider signs with several: one
    /// that has ended here does no harm to another.
    fn in_use(&self, matched: &[usize], at: OffsetDateTime) -> Result<Verified, Refusal> {
        let is_over =
            |index: usize| self.not_after.get(index).copied().flatten().is_some_and(|not_after| at > not_after);
        match (matched.iter().find(|index| !is_over(**index)), matched.first()) {
            (Some(index), _) => Ok(Verified::BySecret { index: *index }),
            (None, Some(index)) => Err(Refusal::SecretExpired { position: index + 1 }),
            (None, None) => Err(Refusal::NoSecretMatched),
        }
    }

    pub(super) fn id<'r>(&self, headers: &Headers<'r>) -> Result<&'r str, Refusal> {
        for name in &self.id_headers {
            if let Some(id) = headers.one(name.as_str())? {
                return Ok(id);
            }
        }
        Err(Refusal::IdMissing)
    }

    /// How many secrets there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The URLs that may have been signed.
    pub(super) fn urls(&self, request: Incoming<'_>) -> Vec<String> {
        message::urls(&self.rule, self.public_url.as_deref(), request.query)
    }

    /// The form's fields, if they are signed; nothing if the body's hash is in the query, and right.
    fn form(&self, request: Incoming<'_>) -> Result<String, Refusal> {
        if !self.rule.template.has(&Part::Form) {
            return Ok(String::new());
        }
        let (Some(name), Some(query)) = (&self.rule.body_sha256_in_query, request.query) else {
            return Ok(message::sorted_form(request.body));
        };
        let mut given = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        match (given.next(), given.next()) {
            (None, _) => Ok(message::sorted_form(request.body)),
            (Some((_, hash)), None) if *hash == hex::encode(digest(&SHA256, request.body)) => Ok(String::new()),
            (Some(_), _) => Err(Refusal::BodyHash),
        }
    }

    /// The key made of the secret at `index`, if it signs.
    pub(super) fn hmac_key(&self, index: usize) -> Option<&hmac::Key> {
        match self.keys.get(index)? {
            Key::Hmac(key) => Some(key),
            Key::Public(_) => None,
        }
    }
}

/// The MAC over the rule's template.
pub(super) fn tag(rule: &SignedRule, key: &hmac::Key, signed: Signed<'_>) -> Result<hmac::Tag, Refusal> {
    let mut context = hmac::Context::with_key(key);
    message::feed(&rule.template, signed, |part| context.update(part))?;
    Ok(context.sign())
}
