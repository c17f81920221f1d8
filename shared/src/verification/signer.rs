//! The counterpart of verification: the headers that a provider would send with a body.
//!
//! For tests, and for people who want to try a source without the provider's account. It writes the
//! first of each list of alternatives in the provider's file. It can't write an id or topic into a body: where
//! those live there, the caller's body must have them.

use aws_lc_rs::hmac;
use secrecy::SecretString;
use time::OffsetDateTime;

use super::hmac::{Signed, encode, tag};
use super::{SecretError, key, timestamp};
use crate::provider::{HeaderPart, HmacRule, Part, Place, Provider, SignatureRule};

/// Signs webhooks as one provider with one secret.
pub struct Signer<'p> {
    provider: &'p Provider,
    rule: &'p HmacRule,
    keys: Vec<hmac::Key>,
}

/// A webhook about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'w> {
    /// Its id; ignored if the provider's ids live in the body.
    pub id: &'w str,
    /// Its topic; ignored if the provider's topics live in the body.
    pub topic: &'w str,
    /// The raw body.
    pub body: &'w [u8],
    /// The time of sending.
    pub at: OffsetDateTime,
}

impl<'p> Signer<'p> {
    /// A signer with the provider's rules.
    ///
    /// # Errors
    /// [`SecretError`] as [`super::Verifier::new`].
    pub fn new(provider: &'p Provider, secret: SecretString) -> Result<Self, SecretError> {
        let SignatureRule::Hmac(rule) = provider.signature();
        let keys = key::keys(rule.hash, &rule.key, &[secret])?;
        Ok(Self { provider, rule, keys })
    }

    /// The headers to send: id, topic, timestamp and signature, as far as the provider has them.
    ///
    /// # Errors
    /// [`time::error::Format`] if the time can't be written as the provider writes it (a year beyond 9999).
    pub fn sign(&self, webhook: Outgoing<'_>) -> Result<Vec<(String, String)>, time::error::Format> {
        let mut headers = Vec::new();
        let mut push = |places: &[Place], value: &str| {
            if let Some(Place::Header(name)) = places.first() {
                headers.push((name.as_str().to_owned(), value.to_owned()));
            }
        };
        push(self.provider.id_places(), webhook.id);
        push(self.provider.topic_places(), webhook.topic);
        let sent_at = match &self.rule.timestamp {
            Some(rule) => timestamp::write(rule.unit, webhook.at)?,
            None => String::new(),
        };
        if let Some(part) = self.rule.timestamp.as_ref().and_then(|rule| rule.from.first()) {
            put(&mut headers, part, &sent_at);
        }
        let signed = Signed {
            id: if self.rule.template.has(&Part::Id) { webhook.id } else { "" },
            timestamp: &sent_at,
            body: webhook.body,
        };
        if let Some(part) = self.rule.from.first() {
            for key in &self.keys {
                put(&mut headers, part, &encode(self.rule.encoding, &tag(self.rule, key, signed)));
            }
        }
        Ok(headers)
    }
}

/// Writes a value where `part` would look for it, behind what the header has already.
fn put(headers: &mut Vec<(String, String)>, part: &HeaderPart, value: &str) {
    let text = format!("{}{value}", part.prefix);
    let name = part.header.as_str();
    match (headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name)), part.separator) {
        (Some((_, list)), Some(separator)) => {
            list.push(separator);
            list.push_str(&text);
        }
        (Some((_, whole)), None) => *whole = text,
        (None, _) => headers.push((name.to_owned(), text)),
    }
}
