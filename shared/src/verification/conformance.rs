//! The one suite that every provider file passes: genuine requests are accepted, and each way of bending one
//! is refused. A new file in `providers/` is taken up by itself.

use std::path::PathBuf;

use rstest::rstest;
use secrecy::SecretString;
use time::Duration;

use super::fixture::{Fixture, Request, now, read};
use super::{Refusal, Verified, Verifier};
use crate::provider::{Identity, Part, Place, SignatureRule};

/// The request is refused, and never for a reason that isn't counted.
fn refused(request: &Request, verifier: &Verifier) -> Refusal {
    request.verify(verifier).expect_err("a bent request passed")
}

fn id_headers(fixture: &Fixture) -> Vec<String> {
    let header = |place: &Place| match place {
        Place::Header(name) => Some(name.as_str().to_owned()),
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
        assert_eq!(identity, Ok(Identity { id: webhook.id.clone(), topic: webhook.topic.clone() }));
    }
}

#[rstest]
fn published_requests_are_accepted_as_they_stand(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    for published in &fixture.published {
        let request = published.request();
        let secrets = vec![SecretString::from(published.secret.as_str())];
        let verifier = Verifier::new(&fixture.provider, secrets).unwrap();
        assert!(request.verify(&verifier).is_ok(), "{}", published.from);
        let identity = fixture.provider.identify(&request.headers(), &request.body);
        let Identity { id, topic } = identity.unwrap();
        assert_eq!((id, topic), (published.id.clone(), published.topic.clone()), "{}", published.from);
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
    for request in fixture.signed("one") {
        for position in 0..request.body.len() {
            let mut bent = request.clone();
            bent.body[position] ^= 1 << (position % 8);
            assert_eq!(refused(&bent, &verifier), Refusal::NoSecretMatched);
        }
        for body in [&request.body[1..], &request.body[..request.body.len() - 1], b"", &[0; 3]] {
            let bent = Request { body: body.to_vec(), ..request.clone() };
            assert_eq!(refused(&bent, &verifier), Refusal::NoSecretMatched);
        }
        let longer = Request { body: [&request.body[..], b"\n"].concat(), ..request.clone() };
        assert_eq!(refused(&longer, &verifier), Refusal::NoSecretMatched);
    }
}

#[rstest]
fn a_changed_signature_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let (verifier, names) = (fixture.verifier(&["one"]), fixture.signature_headers());
    let request = &fixture.signed("one")[0];
    let (_, value) = request.headers.iter().find(|(name, _)| names.contains(name)).unwrap();
    for bit in 0..value.len() * 8 {
        refused(&request.with(&names, |value| value[bit / 8] ^= 1 << (bit % 8)), &verifier);
    }
    for cut in 1..=value.len() {
        refused(&request.with(&names, |value| value.truncate(value.len() - cut)), &verifier);
    }
    refused(&request.with(&names, |value| value.extend_from_slice(b"00")), &verifier);
    refused(&request.with(&names, |value| value.make_ascii_uppercase()), &verifier);
}

#[rstest]
fn a_signature_missing_empty_or_twice_is_refused(#[files("../providers/*.toml")] file: PathBuf) {
    let fixture = read(&file);
    let (verifier, names) = (fixture.verifier(&["one"]), fixture.signature_headers());
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
    let SignatureRule::Hmac(rule) = fixture.provider.signature();
    let Some(timestamp) = &rule.timestamp else {
        return;
    };
    let verifier = fixture.verifier(&["one"]);
    let tolerance = i64::from(timestamp.tolerance_seconds);
    let names: Vec<_> = timestamp.from.iter().map(|part| part.header.as_str().to_owned()).collect();
    for request in fixture.signed("one") {
        let at = |seconds| Request { received_at: now() + Duration::seconds(seconds), ..request.clone() };
        for near in [-tolerance, 0, tolerance] {
            assert_eq!(at(near).verify(&verifier), Ok(Verified::BySecret { index: 0 }), "{near} s");
        }
        let old = refused(&at(tolerance + 1), &verifier);
        assert_eq!(old, Refusal::TimestampTooOld { seconds: tolerance + 1 });
        let new = refused(&at(-tolerance - 1), &verifier);
        assert_eq!(new, Refusal::TimestampTooNew { seconds: tolerance + 1 });
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
    let SignatureRule::Hmac(rule) = fixture.provider.signature();
    for request in fixture.signed("one") {
        let fresh = request.with(&names, |value| *value = b"fresh".to_vec());
        let passes = fresh.verify(&verifier).is_ok();
        assert_eq!(passes, !fixture.provider.id_signed() || names.is_empty());
        if rule.template.has(&Part::Id) {
            assert_eq!(refused(&request.without(&names), &verifier), Refusal::IdMissing);
            let twice = refused(&request.twice(&names), &verifier);
            assert!(matches!(twice, Refusal::HeaderTwice { .. }), "{twice:?}");
        }
    }
}
