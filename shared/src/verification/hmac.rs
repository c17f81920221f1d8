//! The scheme most providers use: an HMAC over a template, written in a header.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use time::OffsetDateTime;

use super::{Headers, MAX_CANDIDATES, Refusal, SecretError, key, timestamp};
use crate::provider::{Encoding, HeaderName, HmacRule, Part, Place};

/// Longest MAC there is: HMAC-SHA512.
const MAX_TAG_BYTES: usize = 64;
/// What base64 decoding wants as room for that: a whole number of triples, and some.
const DECODE_BYTES: usize = 72;

/// A provider's HMAC rule with a source's keys.
pub(super) struct Scheme {
    rule: HmacRule,
    id_headers: Vec<HeaderName>,
    keys: Vec<hmac::Key>,
}

/// What stands for `{id}`, `{timestamp}` and `{body}`.
#[derive(Clone, Copy)]
pub(super) struct Signed<'r> {
    pub(super) id: &'r str,
    pub(super) timestamp: &'r str,
    pub(super) body: &'r [u8],
}

/// A signature that somebody claims to be genuine, decoded.
struct Candidate {
    bytes: [u8; DECODE_BYTES],
    len: usize,
}

impl Candidate {
    fn tag(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Scheme {
    pub(super) fn new(rule: &HmacRule, id_places: &[Place], secrets: &[SecretString]) -> Result<Self, SecretError> {
        let id_headers = id_places
            .iter()
            .filter_map(|place| match place {
                Place::Header(name) => Some(name.clone()),
                Place::Body(_) | Place::BodyHash(_) | Place::Fixed(_) => None,
            })
            .collect();
        let keys = key::keys(rule.hash, &rule.key, secrets)?;
        Ok(Self { rule: rule.clone(), id_headers, keys })
    }

    /// The position of the secret that made one of the request's signatures.
    pub(super) fn verify(
        &self,
        headers: &Headers<'_>,
        body: &[u8],
        received_at: OffsetDateTime,
    ) -> Result<usize, Refusal> {
        let candidates = self.candidates(headers)?;
        let timestamp = match &self.rule.timestamp {
            Some(rule) => timestamp::check(rule, headers, received_at)?,
            None => "",
        };
        let id = if self.rule.template.has(&Part::Id) { self.id(headers)? } else { "" };
        let signed = Signed { id, timestamp, body };
        // No early end: every key is tried on every candidate.
        let mut matched = None;
        for (index, key) in self.keys.iter().enumerate() {
            let tag = tag(&self.rule, key, signed);
            for candidate in &candidates {
                let equal = verify_slices_are_equal(tag.as_ref(), candidate.tag()).is_ok();
                matched = matched.or(equal.then_some(index));
            }
        }
        matched.ok_or(Refusal::NoSecretMatched)
    }

    fn id<'r>(&self, headers: &Headers<'r>) -> Result<&'r str, Refusal> {
        for name in &self.id_headers {
            if let Some(id) = headers.one(name.as_str())? {
                return Ok(id);
            }
        }
        Err(Refusal::IdMissing)
    }

    /// The signatures in the request: at least one, at most [`MAX_CANDIDATES`].
    fn candidates(&self, headers: &Headers<'_>) -> Result<Vec<Candidate>, Refusal> {
        let mut candidates = Vec::new();
        // The furthest we got; the most telling reason if nothing usable is found.
        let mut nearest = Refusal::SignatureMissing;
        let mut seen = 0;
        for part in &self.rule.from {
            let Some(value) = headers.one(part.header.as_str())? else {
                continue;
            };
            if value.is_empty() {
                nearest = Refusal::SignatureEmpty;
                continue;
            }
            nearest = Refusal::SignatureMalformed;
            for text in part.parts(value) {
                seen += 1;
                if seen > MAX_CANDIDATES {
                    return Err(Refusal::TooManySignatures);
                }
                candidates.extend(self.decode(text));
            }
        }
        match (candidates.is_empty(), seen) {
            (false, _) => Ok(candidates),
            (true, 0) => Err(nearest),
            (true, _) => Err(Refusal::SignatureEncoding),
        }
    }

    fn decode(&self, text: &str) -> Option<Candidate> {
        let mut bytes = [0; DECODE_BYTES];
        let len = match self.rule.encoding {
            Encoding::Hex => {
                let len = text.len() / 2;
                let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let room = bytes.get_mut(..len).filter(|_| lower && len <= MAX_TAG_BYTES)?;
                hex::decode_to_slice(text, room).ok()?;
                len
            }
            Encoding::Base64 => STANDARD.decode_slice(text, &mut bytes).ok()?,
        };
        let expected = self.keys.first()?.algorithm().tag_len();
        (len == expected).then_some(Candidate { bytes, len })
    }
}

/// The MAC over the rule's template.
pub(super) fn tag(rule: &HmacRule, key: &hmac::Key, signed: Signed<'_>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in rule.template.parts() {
        context.update(match part {
            Part::Literal(text) => text.as_bytes(),
            Part::Body => signed.body,
            Part::Id => signed.id.as_bytes(),
            Part::Timestamp => signed.timestamp.as_bytes(),
        });
    }
    context.sign()
}

/// A MAC as the provider writes it, without prefix.
pub(super) fn encode(encoding: Encoding, tag: &hmac::Tag) -> String {
    match encoding {
        Encoding::Hex => hex::encode(tag),
        Encoding::Base64 => STANDARD.encode(tag),
    }
}
