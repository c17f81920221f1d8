//! `GET /webhooks/{source}`: a provider asks whether the URL is ours. It shows the token that we gave it, and is answered
//! its challenge. For providers and sources that have this; for all others a `GET` is a wrong method.

use std::borrow::Cow;

use actix_web::HttpResponse;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared::message::sha256;
use shared::provider::SubscriptionRule;
use shared::verification::Refusal;

use crate::refused::Refused;

/// Longest challenge that is answered, in bytes.
const MAX_CHALLENGE_BYTES: usize = 256;

/// A source's rule, and the hash of its token.
pub(crate) struct Subscription {
    rule: SubscriptionRule,
    token_sha256: [u8; 32],
}

impl Subscription {
    pub(crate) fn new(rule: &SubscriptionRule, token: &str) -> Self {
        Self { rule: rule.clone(), token_sha256: sha256(token.as_bytes()) }
    }

    /// The challenge, if the token is right.
    pub(crate) fn answer(&self, query: &str) -> Result<HttpResponse, Refused> {
        let refused = |refusal| Err(Refused::Signature(refusal));
        let Some(token) = one(query, &self.rule.token) else { return refused(Refusal::SignatureMissing) };
        if verify_slices_are_equal(&sha256(token.as_bytes()), &self.token_sha256).is_err() {
            return refused(Refusal::NoSecretMatched);
        }
        // It is sent back as it came: nothing that a browser could take for more than text.
        let plain =
            |text: &str| text.len() <= MAX_CHALLENGE_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match one(query, &self.rule.challenge).filter(|challenge| plain(challenge)) {
            Some(challenge) => Ok(HttpResponse::Ok().content_type("text/plain").body(challenge.into_owned())),
            None => refused(Refusal::SignatureMalformed),
        }
    }
}

/// A parameter that is given once.
fn one<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(given, _)| given == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}
