//! What a `[signature]` must be to prove what the file says it proves.

use super::super::file::{Place, ProviderFile};
use super::super::{Algorithm, Encoding, KeyEncoding, Part, SignedRule, ValuePart};
use super::{Found, MAX_PLACES};

pub(super) fn check(file: &ProviderFile, found: &mut Found) {
    match file.signature.signed() {
        Some((algorithm, rule)) => {
            belongs(file, algorithm, rule, found);
            template(file, rule, found);
            promises(file, rule, found);
            timestamp(rule, found);
        }
        None => {
            found.unless(!file.id.signed, "id.signed", true, "false: nothing is signed by a secret that is just shown");
            found.unless(!file.timestamp_signed, "timestamp_signed", true, "false: nothing is signed");
        }
    }
    if !matches!(file.signature, super::SignatureRule::Basic(_)) {
        value_parts("signature.from", file.signature.places(), found);
    }
}

/// Which keys belong to which scheme.
fn belongs(file: &ProviderFile, algorithm: Algorithm, rule: &SignedRule, found: &mut Found) {
    let is_hmac = matches!(algorithm, Algorithm::Hmac(_));
    found.unless(
        rule.hash.is_some() == is_hmac,
        "signature.hash",
        if rule.hash.is_some() { "there" } else { "missing" },
        "there exactly if the scheme is hmac; the others have one of their own",
    );
    let is_rsa = algorithm == Algorithm::Rsa;
    found.unless(rule.certificate.is_none() || is_rsa, "signature.certificate", "there", "with scheme \"rsa\" only");
    if let Some(certificate) = &rule.certificate {
        let pinned = |prefix: &String| prefix.strip_prefix("https://").is_some_and(|rest| rest.contains('/'));
        found.unless(
            !certificate.url_prefixes.is_empty() && certificate.url_prefixes.iter().all(pinned),
            "signature.certificate.url_prefixes",
            format!("{:?}", certificate.url_prefixes),
            "each https://, a host and the beginning of a path; without the path another host could begin alike",
        );
        found.unless(
            certificate.name_suffix.starts_with('.') && certificate.name_suffix.len() > 3,
            "signature.certificate.name_suffix",
            format!("{:?}", certificate.name_suffix),
            "a domain with a dot before it",
        );
    }
    let is_pem = rule.key.encoding == KeyEncoding::Pem;
    found.unless(
        !is_pem || !is_hmac,
        "signature.key.encoding",
        "pem",
        "raw, base64 or hex: an HMAC has no certificate",
    );
    let each_in_body = rule.from.iter().all(|part| part.body().is_some()) && rule.timestamp.is_none();
    found.unless(
        rule.each.is_none() || each_in_body,
        "signature.each",
        "with headers or a timestamp",
        "with signatures in the body, and no timestamp",
    );
    let verified = rule.each.as_ref().map(std::slice::from_ref);
    let taken = file.batch.as_ref().map(|batch| batch.elements.as_slice());
    found.unless(
        verified.is_none_or(|verified| taken == Some(verified)),
        "signature.each",
        "other elements than batch.elements",
        "the same: an element that is taken and was not verified is anybody's",
    );
    found.unless(
        rule.each.is_none() || !rule.template.has(&Part::Body),
        "signature.template",
        "with {body} and each",
        "without {body}: the whole body would be hashed for each element",
    );
    found.unless(
        rule.encoding == Encoding::Base64 || algorithm != Algorithm::Rsa,
        "signature.encoding",
        "hex",
        "base64 for RSA",
    );
}

fn template(file: &ProviderFile, rule: &SignedRule, found: &mut Found) {
    let template = &rule.template;
    let proves = |part: &Part| matches!(part, Part::Body | Part::Form | Part::BodyCrc32 | Part::Field(_));
    found.unless(
        template.parts().iter().any(proves),
        "signature.template",
        "without {body}",
        "with it, or with another part of the body: a signature that leaves it out proves nothing about it",
    );
    let in_header = rule.timestamp.as_ref().is_some_and(|rule| rule.from.iter().any(|part| part.header().is_some()));
    found.unless(
        if in_header { template.has(&Part::Timestamp) } else { rule.timestamp.is_some() || !template.has(&Part::Timestamp) },
        "signature.timestamp",
        if rule.timestamp.is_some() { "there" } else { "missing" },
        "there exactly if the template has {timestamp}, or in the signed part of the body: an unsigned time proves nothing",
    );
    found.unless(
        !template.has(&Part::Id) || file.id.from.iter().all(|place| matches!(place, Place::Header(_))),
        "id.from",
        "not only headers",
        "headers only, since the template has {id}",
    );
    found.unless(
        rule.body_sha256_in_query.is_none() || (template.has(&Part::Url) && template.has(&Part::Form)),
        "signature.body_sha256_in_query",
        "there",
        "with {url} and {form} in the template only",
    );
}

/// What the file promises of the id and the time is what the template gives.
fn promises(file: &ProviderFile, rule: &SignedRule, found: &mut Found) {
    let signed = file.id.from.iter().all(|place| rule.covers(place));
    found.unless(
        file.id.signed == signed,
        "id.signed",
        file.id.signed,
        &format!(
            "{signed}, going by the template: a header's id is signed if it has {{id}}, a body's if it has {{body}}"
        ),
    );
    let signed = rule.covers_timestamp();
    found.unless(
        file.timestamp_signed == signed,
        "timestamp_signed",
        file.timestamp_signed,
        &format!("{signed}, going by the template"),
    );
}

fn timestamp(rule: &SignedRule, found: &mut Found) {
    let Some(timestamp) = &rule.timestamp else { return };
    value_parts("signature.timestamp.from", &timestamp.from, found);
    found.unless(
        (1..=86_400).contains(&timestamp.tolerance_seconds),
        "signature.timestamp.tolerance_seconds",
        timestamp.tolerance_seconds,
        "1 to 86400",
    );
    found.unless(
        rule.template.has(&Part::Timestamp) || rule.covers_timestamp(),
        "signature.timestamp.from",
        "in a part of the body that is not signed",
        "a time that the signature covers: an unsigned time proves nothing",
    );
}

fn value_parts(key: &'static str, parts: &[ValuePart], found: &mut Found) {
    found.unless((1..=MAX_PLACES).contains(&parts.len()), key, format!("{} places", parts.len()), "1 to 32 places");
    for part in parts {
        found.unless(
            part.separator.is_none_or(|separator| !part.prefix.contains(separator)),
            key,
            format!("prefix {:?}", part.prefix),
            "a prefix without the separator in it, or no part ever starts with it",
        );
        let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        found.unless(
            part.prefix.bytes().all(visible),
            key,
            format!("prefix {:?}", part.prefix),
            "a prefix of visible ASCII characters",
        );
    }
}
