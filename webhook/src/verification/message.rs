//! The bytes that a signature is over: a template with a request's values in it.
//!
//! The parts are handed on one by one, so that an HMAC copies no body. Nothing is decoded, re-encoded or normalised: each
//! value goes in as it was sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Headers, Refusal};
use crate::provider::{Found, Part, SignedRule, Template, UrlPort};

/// What stands for the placeholders of a template.
#[derive(Clone, Copy)]
pub(super) struct Signed<'s> {
    pub(super) id: &'s str,
    pub(super) timestamp: &'s str,
    pub(super) url: &'s str,
    pub(super) form: &'s str,
    /// The whole body.
    pub(super) body: &'s [u8],
    /// Where `{field:…}` begins: the body, or the element that is signed by itself.
    pub(super) scope: &'s [u8],
    pub(super) headers: &'s Headers<'s>,
    pub(super) parameters: &'s BTreeMap<String, String>,
}

/// Hands every part to `sink`, in order.
pub(super) fn feed(template: &Template, signed: Signed<'_>, mut sink: impl FnMut(&[u8])) -> Result<(), Refusal> {
    for part in template.parts() {
        match part {
            Part::Literal(text) => sink(text.as_bytes()),
            Part::Body => sink(signed.body),
            Part::Id => sink(signed.id.as_bytes()),
            Part::Timestamp => sink(signed.timestamp.as_bytes()),
            Part::Url => sink(signed.url.as_bytes()),
            Part::Form => sink(signed.form.as_bytes()),
            Part::BodyCrc32 => sink(crc32fast::hash(signed.body).to_string().as_bytes()),
            Part::Header(name) => match signed.headers.one(name.as_str())? {
                Some(value) => sink(value.as_bytes()),
                None => return Err(Refusal::HeaderMissing { header: name.as_str().to_owned() }),
            },
            Part::Field(path) => match path.find(signed.scope) {
                Found::Text(text) => sink(text.as_bytes()),
                Found::Nothing => {}
                Found::Other => return Err(Refusal::FieldNotText),
            },
            Part::Parameter(name) => sink(signed.parameters.get(name).map_or("", String::as_str).as_bytes()),
        }
    }
    Ok(())
}

/// The whole message at once, for algorithms that want it so.
pub(super) fn whole(template: &Template, signed: Signed<'_>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(signed.body.len() + 256);
    feed(template, signed, |part| bytes.extend_from_slice(part))?;
    Ok(bytes)
}

/// A form body's fields, each name followed by its value, sorted by name; of a field given several times each value once,
/// sorted. As Twilio's libraries do it.
pub(super) fn sorted_form(body: &[u8]) -> String {
    let mut fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = url::form_urlencoded::parse(body).collect();
    fields.sort();
    fields.dedup();
    fields.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]).collect()
}

/// The URLs that may have been signed: the configured one with the query of the request, written with the ports that the
/// rule allows.
pub(super) fn urls(rule: &SignedRule, public_url: Option<&str>, query: Option<&str>) -> Vec<String> {
    if !rule.template.has(&Part::Url) {
        return vec![String::new()];
    }
    let public_url = public_url.unwrap_or_default();
    let with_query = |url: String| match query {
        Some(query) => format!("{url}?{query}"),
        None => url,
    };
    match rule.url_port {
        UrlPort::AsGiven => vec![with_query(public_url.to_owned())],
        UrlPort::Either => with_and_without_port(public_url).into_iter().map(with_query).collect(),
    }
}

fn with_and_without_port(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let own_port = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority.rfind(':').filter(|colon| *colon > bracket) {
        Some(colon) => authority.split_at(colon),
        None => (authority, ""),
    };
    let port = port.strip_prefix(':').filter(|port| !port.is_empty()).unwrap_or(own_port);
    vec![format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_and_go_as_in_twilios_libraries() {
        let both = |url| with_and_without_port(url);
        assert_eq!(both("https://a.example/x"), ["https://a.example/x", "https://a.example:443/x"]);
        assert_eq!(both("http://a.example:8080/x"), ["http://a.example/x", "http://a.example:8080/x"]);
        assert_eq!(both("https://[::1]/x"), ["https://[::1]/x", "https://[::1]:443/x"]);
        assert_eq!(both("https://[::1]:9/x"), ["https://[::1]/x", "https://[::1]:9/x"]);
        assert_eq!(both("https://a.example"), ["https://a.example", "https://a.example:443"]);
    }

    #[test]
    fn form_fields_are_sorted_and_repeated_values_count_once() {
        assert_eq!(sorted_form(b"b=2&a=1&b=1&b=2&c=%20x+y"), "a1b1b2c x y");
        assert_eq!(sorted_form(b""), "");
    }
}
