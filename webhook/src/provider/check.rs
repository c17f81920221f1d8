//! The rules of a provider file that span several keys, or bound a value. Each mistake is reported, not only
//! the first. What concerns signatures alone is in `check/signature.rs`.

mod signature;

use crate::name::Name;

use super::file::{Place, ProviderFile, Sure};
use super::{HandshakeAnswer, MAX_KEPT_HEADERS, MAX_SHORT_STRING_BYTES, Mistake, SignatureRule};

/// Longest list of places or headers to look in.
const MAX_PLACES: usize = 32;

/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;

/// Everything that is wrong with the file; empty if nothing is.
pub(super) fn mistakes(name: &str, file: &ProviderFile) -> Vec<Mistake> {
    let mut found = Found::default();
    about(name, file, &mut found);
    places(file, &mut found);
    batch(file, &mut found);
    signature::check(file, &mut found);
    answers(file, &mut found);
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
        file.sure != Sure::ThirdParty || !file.unsure_about.is_empty(),
        "unsure_about",
        "[]",
        "what is not certain, since nobody asked the provider",
    );
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
    if let Some(tolerated) = file.failures_tolerated {
        found.unless((1..=1000).contains(&tolerated), "failures_tolerated", tolerated, "1 to 1000");
    }
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
        let joins = |place: &Place| match place {
            Place::BodyJoin(paths) => (2..=8).contains(&paths.len()),
            Place::Form(names) => (1..=8).contains(&names.len()) && names.iter().all(|name| !name.is_empty()),
            Place::Header(_) | Place::HeaderAndBodyHash(_) | Place::Body(_) | Place::BodyHash(_) | Place::Fixed(_) => {
                true
            }
        };
        found.unless(
            from.iter().all(joins),
            key,
            "a list too short or too long",
            "2 to 8 paths, or 1 to 8 form fields",
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
                    && topic.bytes().all(|byte| byte.is_ascii_graphic())
                    && topic != super::BATCH_TOPIC,
                "topic.from.fixed",
                format!("{topic:?}"),
                "1 to 255 visible ASCII characters, and not \"batch\"",
            );
        }
    }
}

fn batch(file: &ProviderFile, found: &mut Found) {
    let Some(rule) = &file.batch else { return };
    found.unless(
        (1..=8).contains(&rule.elements.len()),
        "batch.elements",
        format!("{} paths", rule.elements.len()),
        "1 to 8 paths",
    );
    let in_element = |place: &Place| !matches!(place, Place::Header(_) | Place::HeaderAndBodyHash(_) | Place::Form(_));
    found.unless(
        file.id.from.iter().chain(&file.topic.from).all(in_element),
        "id.from, topic.from",
        "a header or a form",
        "places in the body: elements have no headers of their own",
    );
}

fn answers(file: &ProviderFile, found: &mut Found) {
    let body = file.answer.body.as_deref().unwrap_or_default();
    found.unless(body.len() <= MAX_ANSWER_BYTES, "answer.body", format!("{} bytes", body.len()), "at most 1024 bytes");
    let media_type = |text: &String| text.contains('/') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    found.unless(
        file.answer.content_type.as_ref().is_none_or(media_type),
        "answer.content_type",
        format!("{:?}", file.answer.content_type),
        "a media type such as \"text/plain\"",
    );
    found.unless(
        body.is_empty() == file.answer.content_type.is_none(),
        "answer.content_type",
        format!("{:?}", file.answer.content_type),
        "there exactly if there is a body",
    );
    found.unless(file.handshake.len() <= 8, "handshake", file.handshake.len(), "at most 8");
    for handshake in &file.handshake {
        match &handshake.answer {
            HandshakeAnswer::HmacOf(_) => found.unless(
                matches!(file.signature, SignatureRule::Hmac(_)),
                "handshake.answer.hmac_of",
                file.signature.name(),
                "with scheme \"hmac\" only: it needs a secret that signs",
            ),
            HandshakeAnswer::Json(text) => found.unless(
                text.len() <= MAX_ANSWER_BYTES && serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "handshake.answer.json",
                format!("{text:?}"),
                "a JSON document of at most 1024 bytes",
            ),
            HandshakeAnswer::Echo(_) => {}
        }
    }
}

fn kept_headers(file: &ProviderFile, found: &mut Found) {
    found.unless(
        file.keep_headers.len() <= MAX_KEPT_HEADERS,
        "keep_headers",
        format!("{} headers", file.keep_headers.len()),
        "at most 16",
    );
    for (position, kept) in file.keep_headers.iter().enumerate() {
        let secret = file.signature.places().iter().filter_map(|part| part.header());
        found.unless(
            !secret.clone().any(|header| header.same_as(kept))
                && !kept.as_str().eq_ignore_ascii_case("authorization")
                && !kept.as_str().eq_ignore_ascii_case("cookie"),
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
