//! The rules of a provider file that span several keys, or bound a value. Each mistake is reported, not only
//! the first.

use crate::name::Name;

use super::file::{HeaderPart, HmacRule, Place, ProviderFile, SignatureRule};
use super::{HeaderName, MAX_KEPT_HEADERS, MAX_SHORT_STRING_BYTES, Mistake, Part};

/// Longest list of places or headers to look in.
const MAX_PLACES: usize = 32;

/// Everything that is wrong with the file; empty if nothing is.
pub(super) fn mistakes(name: &str, file: &ProviderFile) -> Vec<Mistake> {
    let mut found = Found::default();
    about(name, file, &mut found);
    places(file, &mut found);
    match &file.signature {
        SignatureRule::Hmac(rule) => hmac(file, rule, &mut found),
    }
    kept_headers(file, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn unless(&mut self, right: bool, key: &'static str, value: impl ToString, hint: &str) {
        if !right {
            self.0.push(Mistake { key, value: value.to_string(), right: hint.to_owned() });
        }
    }
}

fn about(name: &str, file: &ProviderFile, found: &mut Found) {
    found.unless(
        Name::try_from(name).is_ok(),
        "(file name)",
        format!("{name:?}"),
        "1 to 64 of a-z, 0-9 and -, beginning with a letter",
    );
    found.unless(!file.title.trim().is_empty(), "title", "\"\"", "the provider's name");
    found.unless(
        file.documentation.starts_with("https://"),
        "documentation",
        format!("{:?}", file.documentation),
        "an https:// URL of the provider's own page",
    );
    found.unless(!file.rule_from.is_empty(), "rule_from", "[]", "at least one source of the rules");
    found.unless(
        (1..=8760).contains(&file.retry_horizon_hours),
        "retry_horizon_hours",
        file.retry_horizon_hours,
        "1 to 8760 (a year)",
    );
    found.unless(
        (500..=120_000).contains(&file.answer_deadline_ms),
        "answer_deadline_ms",
        file.answer_deadline_ms,
        "500 to 120000",
    );
}

fn places(file: &ProviderFile, found: &mut Found) {
    for (key, from) in [("id.from", &file.id.from), ("topic.from", &file.topic.from)] {
        found.unless((1..=MAX_PLACES).contains(&from.len()), key, format!("{} places", from.len()), "1 to 32 places");
        let before_last = from.iter().rev().skip(1);
        found.unless(
            before_last.clone().all(|place| !matches!(place, Place::BodyHash(_) | Place::Fixed(_))),
            key,
            "a place that is always there, before another",
            "body_hash or fixed in the last place only",
        );
    }
    found.unless(
        !file.id.from.iter().any(|place| matches!(place, Place::Fixed(_))),
        "id.from",
        "fixed",
        "something that tells webhooks apart; a constant doesn't, body_hash = \"sha256\" does",
    );
    for place in &file.topic.from {
        if let Place::Fixed(topic) = place {
            found.unless(
                (1..=MAX_SHORT_STRING_BYTES).contains(&topic.len())
                    && topic.bytes().all(|byte| byte.is_ascii_graphic()),
                "topic.from.fixed",
                format!("{topic:?}"),
                "1 to 255 visible ASCII characters",
            );
        }
    }
}

fn hmac(file: &ProviderFile, rule: &HmacRule, found: &mut Found) {
    let template = &rule.template;
    found.unless(
        template.has(&Part::Body),
        "signature.template",
        "without {body}",
        "with it: a signature that leaves out the body proves nothing about the body",
    );
    found.unless(
        template.has(&Part::Timestamp) == rule.timestamp.is_some(),
        "signature.timestamp",
        if rule.timestamp.is_some() { "there" } else { "missing" },
        "there exactly if the template has {timestamp}: an unsigned time proves nothing",
    );
    found.unless(
        !template.has(&Part::Id) || id_headers(file).count() == file.id.from.len(),
        "id.from",
        "not only headers",
        "headers only, since the template has {id}",
    );
    let signed = file.id.from.iter().all(|place| match place {
        Place::Header(_) => template.has(&Part::Id),
        Place::Body(_) | Place::BodyHash(_) | Place::Fixed(_) => template.has(&Part::Body),
    });
    found.unless(
        file.id.signed == signed,
        "id.signed",
        file.id.signed,
        &format!(
            "{signed}, going by the template: a header's id is signed if it has {{id}}, a body's if it has {{body}}"
        ),
    );
    header_parts("signature.from", &rule.from, found);
    if let Some(timestamp) = &rule.timestamp {
        header_parts("signature.timestamp.from", &timestamp.from, found);
        found.unless(
            (1..=86_400).contains(&timestamp.tolerance_seconds),
            "signature.timestamp.tolerance_seconds",
            timestamp.tolerance_seconds,
            "1 to 86400",
        );
    }
}

fn header_parts(key: &'static str, parts: &[HeaderPart], found: &mut Found) {
    found.unless((1..=MAX_PLACES).contains(&parts.len()), key, format!("{} headers", parts.len()), "1 to 32 headers");
    for part in parts {
        found.unless(
            part.separator.is_none_or(|separator| !part.prefix.contains(separator)),
            key,
            format!("prefix {:?}", part.prefix),
            "a prefix without the separator in it, or no part ever starts with it",
        );
        found.unless(
            part.prefix.bytes().all(|byte| byte.is_ascii_graphic()),
            key,
            format!("prefix {:?}", part.prefix),
            "a prefix of visible ASCII characters",
        );
    }
}

fn kept_headers(file: &ProviderFile, found: &mut Found) {
    found.unless(
        file.keep_headers.len() <= MAX_KEPT_HEADERS,
        "keep_headers",
        format!("{} headers", file.keep_headers.len()),
        "at most 16",
    );
    let SignatureRule::Hmac(rule) = &file.signature;
    for (position, kept) in file.keep_headers.iter().enumerate() {
        found.unless(
            !rule.from.iter().any(|part| part.header.same_as(kept)),
            "keep_headers",
            format!("{:?}", kept.as_str()),
            "without it: it carries the signature, which must not travel further",
        );
        found.unless(
            !file.keep_headers.iter().take(position).any(|earlier| earlier.same_as(kept)),
            "keep_headers",
            format!("{:?} again", kept.as_str()),
            "each header once",
        );
    }
}

fn id_headers(file: &ProviderFile) -> impl Iterator<Item = &HeaderName> {
    file.id.from.iter().filter_map(|place| match place {
        Place::Header(name) => Some(name),
        Place::Body(_) | Place::BodyHash(_) | Place::Fixed(_) => None,
    })
}
