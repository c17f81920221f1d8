//! The one suite that every provider file passes: genuine requests are accepted, and each way of bending one
//! is refused. A new file in `providers/` is taken up by itself.

use std::path::PathBuf;

use rstest::rstest;
use time::Duration;

use super::fixture::{Fixture, Request, now, read};
use super::{Refusal, Verified, Verifier};
use crate::provider::{BATCH_TOPIC, Identity, Part, Place, SignedRule};

/// The request is refused, and never for a reason that isn't counted.
fn refused(request: &Request, verifier: &Verifier) -> Refusal {
    request.verify(verifier).expect_err("a bent request passed")
}

fn rule(fixture: &Fixture) -> Option<&SignedRule> {
    fixture.provider.signature().signed().map(|(_, rule)| rule)
}

fn id_headers(fixture: &Fixture) -> Vec<String> {
    let header = |place: &Place| match place {
        Place::Header(name) | Place::HeaderAndBodyHash(name) => Some(name.as_str().to_owned()),
        _ => None,
    };
    fixture.provider.id_places().iter().filter_map(header).collect()
}

#[rstest]
fn genuine_is_accepted_and_named(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    assert!(!fixture.webhooks.is_empty());
    for (request, webhook) in fixture.signed("one").iter().zip(&fixture.webhooks) {
        assert_eq!(request.verify(&fixture.verifier(&["one"])), Ok(Verified::BySecret { index: 0 }));
        let identity = fixture.provider.identify(&request.headers(), &request.body);
        let Some(elements) = &webhook.elements else {
            assert_eq!(identity, Ok(Identity { id: webhook.id(), topic: webhook.topic.clone() }));
            assert!(fixture.provider.elements(&request.body).is_none());
            continue;
        };
        assert_eq!(identity.unwrap().topic, BATCH_TOPIC);
        let found = fixture.provider.elements(&request.body).unwrap().unwrap();
        let found: Vec<Identity> = found.into_iter().map(|element| element.identity.unwrap()).collect();
        let expected = elements.iter();
        let expected: Vec<Identity> =
            expected.map(|element| Identity { id: element.id.clone(), topic: element.topic.clone() }).collect();
        assert_eq!(found, expected);
    }
}

#[rstest]
fn published_requests_are_accepted_as_they_stand(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    for published in &fixture.published {
        let request = published.request();
        let verified = request.verify(&published.verifier(&fixture.provider));
        assert_eq!(verified, Ok(Verified::BySecret { index: 0 }), "{}", published.from);
        let Identity { id, topic } = fixture.provider.identify(&request.headers(), &request.body).unwrap();
        assert_eq!(topic, published.topic, "{}", published.from);
        if topic != BATCH_TOPIC {
            assert_eq!(Some(id), published.id, "{}", published.from);
        }
    }
}

#[rstest]
fn any_of_several_secrets_is_accepted(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let verifier = fixture.verifier(&["one", "two", "three"]);
    for (index, seed) in ["one", "two", "three"].into_iter().enumerate() {
        for request in fixture.signed(seed) {
            assert_eq!(request.verify(&verifier), Ok(Verified::BySecret { index }));
        }
    }
}

#[rstest]
fn another_secret_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    for request in fixture.signed("one") {
        assert_eq!(refused(&request, &fixture.verifier(&["two", "three"])), Refusal::NoSecretMatched);
    }
}

#[rstest]
fn a_changed_body_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let verifier = fixture.verifier(&["one"]);
    // A CRC tells a changed bit, too; whoever only shows a secret signs nothing.
    let Some(rule) = rule(&fixture).filter(|rule| rule.covers_body() || rule.template.has(&Part::BodyCrc32)) else {
        return;
    };
    for request in fixture.signed("one") {
        for position in 0..request.body.len() {
            let mut bent = request.clone();
            bent.body[position] ^= 1 << (position % 8);
            let refusal = refused(&bent, &verifier);
            let expected = if request.query.is_some() { Refusal::BodyHash } else { Refusal::NoSecretMatched };
            assert!(rule.timestamp_in_body() || refusal == expected, "{refusal:?}");
        }
        for body in [&request.body[1..], &request.body[..request.body.len() - 1], b"", &[0; 3]] {
            refused(&Request { body: body.to_vec(), ..request.clone() }, &verifier);
        }
        let longer = Request { body: [&request.body[..], b"\n"].concat(), ..request.clone() };
        refused(&longer, &verifier);
    }
}

/// Where the signature stands in the body, it and each field that it covers.
#[rstest]
fn a_changed_field_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let Some(rule) = rule(&fixture) else { return };
    let verifier = fixture.verifier(&["one"]);
    let signed =
        rule.template.parts().iter().filter_map(|part| if let Part::Field(path) = part { Some(path) } else { None });
    let paths: Vec<_> = signed.chain(rule.from.iter().filter_map(|part| part.body())).collect();
    for path in paths {
        for request in fixture.signed("one") {
            for value in ["", "another", "0"] {
                let mut document: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let mut change = |place: &mut serde_json::Value| {
                    super::stamp::set(place, path, value.into());
                };
                match &rule.each {
                    Some(each) => each.for_each_mut(&mut document, &mut change),
                    None => change(&mut document),
                }
                let bent = Request { body: document.to_string().into_bytes(), ..request.clone() };
                // Adyen leaves fields empty that are not there.
                if path.find(&request.body) != crate::provider::Found::Nothing || !value.is_empty() {
                    refused(&bent, &verifier);
                }
            }
        }
    }
}

#[rstest]
fn a_changed_signature_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let (verifier, names) = (fixture.verifier(&["one"]), fixture.signature_headers());
    if names.is_empty() {
        return;
    }
    let request = &fixture.signed("one")[0];
    let (_, value) = request.headers.iter().find(|(name, _)| names.contains(name)).unwrap();
    for bit in 0..value.len() * 8 {
        refused(&request.with(&names, |value| value[bit / 8] ^= 1 << (bit % 8)), &verifier);
    }
    for cut in 1..=value.len() {
        refused(&request.with(&names, |value| value.truncate(value.len() - cut)), &verifier);
    }
    refused(&request.with(&names, |value| value.extend_from_slice(b"00")), &verifier);
    refused(&request.with(&names, |value| *value = value.to_ascii_uppercase()), &verifier);
}

#[rstest]
fn a_signature_missing_empty_or_twice_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let (verifier, names) = (fixture.verifier(&["one"]), fixture.signature_headers());
    if names.is_empty() {
        return;
    }
    for request in fixture.signed("one") {
        assert_eq!(refused(&request.without(&names), &verifier), Refusal::SignatureMissing);
        assert_eq!(refused(&request.with(&names, Vec::clear), &verifier), Refusal::SignatureEmpty);
        assert_eq!(
            refused(&request.with(&names, |value| *value = b" \t".to_vec()), &verifier),
            Refusal::SignatureEmpty
        );
        let twice = refused(&request.twice(&names), &verifier);
        assert!(matches!(twice, Refusal::HeaderTwice { .. }), "{twice:?}");
        let bytes = refused(&request.with(&names, |value| value.push(0xff)), &verifier);
        assert!(matches!(bytes, Refusal::HeaderNotText { .. }), "{bytes:?}");
    }
}

#[rstest]
fn a_signed_time_holds_to_its_tolerance(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let Some(timestamp) = rule(&fixture).and_then(|rule| rule.timestamp.as_ref()) else { return };
    let verifier = fixture.verifier(&["one"]);
    let tolerance = i64::from(timestamp.tolerance_seconds);
    let names: Vec<_> = timestamp.from.iter().filter_map(|part| Some(part.header()?.as_str().to_owned())).collect();
    for request in fixture.signed("one") {
        let at = |seconds| Request { received_at: now() + Duration::seconds(seconds), ..request.clone() };
        // Now has three quarters of a second, which most providers' timestamps have not.
        for near in [-tolerance, 0, tolerance] {
            assert_eq!(at(near).verify(&verifier), Ok(Verified::BySecret { index: 0 }), "{near} s");
        }
        let old = refused(&at(tolerance + 1), &verifier);
        assert_eq!(old, Refusal::TimestampTooOld { seconds: tolerance + 1 });
        let new = refused(&at(-tolerance - 1), &verifier);
        assert_eq!(new, Refusal::TimestampTooNew { seconds: tolerance + 1 });
        if names.is_empty() {
            continue;
        }
        for bent in [request.without(&names), request.with(&names, Vec::clear), request.twice(&names)] {
            refused(&bent, &verifier);
        }
        refused(&request.with(&names, |value| value.push(b'0')), &verifier);
        refused(&request.with(&names, |value| value.insert(0, b'+')), &verifier);
    }
}

/// `signed` in the file is the truth: another id passes exactly if it is not signed.
#[rstest]
fn an_id_is_signed_as_the_file_says(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let (verifier, names) = (fixture.verifier(&["one"]), id_headers(&fixture));
    for request in fixture.signed("one") {
        let fresh = request.with(&names, |value| *value = b"fresh".to_vec());
        let passes = fresh.verify(&verifier).is_ok();
        assert_eq!(passes, !fixture.provider.id_signed() || names.is_empty());
        if rule(&fixture).is_some_and(|rule| rule.template.has(&Part::Id)) {
            assert_eq!(refused(&request.without(&names), &verifier), Refusal::IdMissing);
            let twice = refused(&request.twice(&names), &verifier);
            assert!(matches!(twice, Refusal::HeaderTwice { .. }), "{twice:?}");
        }
    }
}
