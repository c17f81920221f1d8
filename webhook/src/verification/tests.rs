//! What the conformance suite doesn't reach: limits, secrets in the wrong form, and forms that no built-in
//! provider has yet.

use rstest::rstest;
use secrecy::SecretString;
use time::OffsetDateTime;

use super::{
    Credentials, Headers, Incoming, MAX_CANDIDATES, MAX_SECRETS, Outgoing, Refusal, Secret, SecretError, Signer,
    Verified, Verifier,
};
use crate::provider::{Catalogue, Provider};

fn built_in(name: &str) -> Provider {
    Catalogue::built_in().unwrap().get(name).unwrap().clone()
}

fn verify(
    verifier: &Verifier,
    headers: &[(String, String)],
    body: &[u8],
    received_at: OffsetDateTime,
) -> Result<Verified, Refusal> {
    let headers: Headers<'_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    verifier.verify(Incoming { headers: &headers, query: None, body, received_at })
}

fn secrets(texts: &[&str]) -> Vec<SecretString> {
    texts.iter().map(|text| SecretString::from(*text)).collect()
}

#[test]
fn a_source_without_verification_says_so() {
    let verifier = Verifier::unchecked();
    let verified = verify(&verifier, &[], b"", OffsetDateTime::UNIX_EPOCH);
    assert_eq!(verified, Ok(Verified::Unchecked));
}

#[rstest]
#[case::none("github", &[], SecretError::None)]
#[case::empty("github", &["good", ""], SecretError::Empty { position: 2 })]
#[case::only_prefix("standard-webhooks", &["whsec_"], SecretError::Empty { position: 1 })]
#[case::newline("github", &["s3cr3t\n"], SecretError::WhiteSpace { position: 1 })]
#[case::not_base64("standard-webhooks", &["whsec_s3cr3t!"], SecretError::NotBase64 { position: 1, prefix: "whsec_".to_owned() })]
fn secrets_in_the_wrong_form(#[case] provider: &str, #[case] texts: &[&str], #[case] expected: SecretError) {
    let error = Verifier::new(&built_in(provider), secrets(texts)).unwrap_err();
    assert_eq!(error, expected);
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[test]
fn secrets_are_bounded_and_never_shown() {
    let many: Vec<_> = (0..=MAX_SECRETS).map(|n| SecretString::from(format!("s3cr3t-{n}"))).collect();
    let error = Verifier::new(&built_in("github"), many.clone()).unwrap_err();
    assert_eq!(error, SecretError::TooMany(MAX_SECRETS + 1));
    let verifier = Verifier::new(&built_in("github"), many[1..].to_vec()).unwrap();
    assert_eq!(format!("{verifier:?}"), "Verifier(signed)");
}

#[test]
fn whsec_may_be_left_out_and_padding_too() {
    let provider = built_in("standard-webhooks");
    for text in ["whsec_c2VjcmV0IG9uZQ==", "c2VjcmV0IG9uZQ==", "whsec_c2VjcmV0IG9uZQ"] {
        assert!(Verifier::new(&provider, secrets(&[text])).is_ok(), "{text}");
    }
}

#[test]
fn signatures_are_counted_before_they_are_compared() {
    let provider = built_in("standard-webhooks");
    let verifier = Verifier::new(&provider, secrets(&["whsec_c2VjcmV0"])).unwrap();
    let signer = Signer::new(&provider, secrets(&["whsec_c2VjcmV0"]).remove(0)).unwrap();
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let headers = signer.sign(Outgoing { id: "1", topic: "", body: b"{}", at }).unwrap().headers;
    let with_more = |before: usize, filler: &str| {
        let mut headers = headers.clone();
        let (_, signature) = headers.iter_mut().find(|(name, _)| name == "webhook-signature").unwrap();
        *signature = format!("{}{signature}", filler.repeat(before));
        verify(&verifier, &headers, b"{}", at)
    };
    let genuine = Ok(Verified::BySecret { index: 0 });
    assert_eq!(with_more(MAX_CANDIDATES - 1, "v1,bm90IGl0 "), genuine);
    assert_eq!(with_more(MAX_CANDIDATES, "v1,bm90IGl0 "), Err(Refusal::TooManySignatures));
    assert_eq!(with_more(1000, "v1a,bm90IGl0 "), genuine);
}

/// While a secret is changed, Stripe signs with the former and the new one, in one header.
#[test]
fn a_secret_that_has_ended_does_no_harm_to_one_that_has_not() {
    let provider = built_in("stripe");
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let outgoing = Outgoing { id: "", topic: "", body: br#"{"id":"evt_1"}"#, at };
    let signature = |secret: &str| {
        let headers = Signer::new(&provider, SecretString::from(secret)).unwrap().sign(outgoing).unwrap().headers;
        headers[0].1.split_once(',').unwrap().1.to_owned()
    };
    let header = |signatures: &str| vec![("Stripe-Signature".to_owned(), format!("t=1700000000,{signatures}"))];
    let mut secrets = vec![Secret::from(SecretString::from("former")), SecretString::from("new").into()];
    let verified = |secrets: &[Secret], signatures: &str| {
        let credentials = Credentials { secrets: secrets.to_vec(), ..Credentials::default() };
        verify(&Verifier::new(&provider, credentials).unwrap(), &header(signatures), outgoing.body, at)
    };
    let both = format!("{},{}", signature("former"), signature("new"));
    assert_eq!(verified(&secrets, &both), Ok(Verified::BySecret { index: 0 }));
    secrets[0].not_after = Some(at - time::Duration::seconds(1));
    assert_eq!(verified(&secrets, &both), Ok(Verified::BySecret { index: 1 }));
    assert_eq!(verified(&secrets, &signature("former")), Err(Refusal::SecretExpired { position: 1 }));
    secrets[1].not_after = secrets[0].not_after;
    assert_eq!(verified(&secrets, &both), Err(Refusal::SecretExpired { position: 1 }));
}

/// Forms that later providers need and the built-in ones don't have: two values in one header, literal text
/// and other separators in the template, other hashes, keys and units. Each is data alone.
#[rstest]
#[case::stripe(
    r#"template = "{timestamp}.{body}"
    from = [{ header = "Stripe-Signature", separator = ",", prefix = "v1=" }]
    hash = "sha256"
    encoding = "hex"
    key = { encoding = "raw" }
    timestamp = { from = [{ header = "Stripe-Signature", separator = ",", prefix = "t=" }], unit = "seconds", tolerance_seconds = 300 }"#,
    // Stripe's scheme, computed with Python's hmac.
    &[("Stripe-Signature", "t=1700000000,v1=@sha256hex:1700000000.{\"id\":\"evt_1\"}")],
)]
#[case::slack(
    r#"template = "v0:{timestamp}:{body}"
    from = [{ header = "X-Slack-Signature", prefix = "v0=" }]
    hash = "sha256"
    encoding = "hex"
    key = { encoding = "raw" }
    timestamp = { from = [{ header = "X-Slack-Request-Timestamp" }], unit = "seconds", tolerance_seconds = 300 }"#,
    &[("X-Slack-Request-Timestamp", "1700000000"), ("X-Slack-Signature", "v0=@sha256hex:v0:1700000000:{\"id\":\"evt_1\"}")],
)]
#[case::paddle(
    r#"template = "{timestamp}:{body}"
    from = [{ header = "Paddle-Signature", separator = ";", prefix = "h1=" }]
    hash = "sha256"
    encoding = "hex"
    key = { encoding = "raw" }
    timestamp = { from = [{ header = "Paddle-Signature", separator = ";", prefix = "ts=" }], unit = "seconds", tolerance_seconds = 5 }"#,
    &[("Paddle-Signature", "ts=1700000000;h1=@sha256hex:1700000000:{\"id\":\"evt_1\"}")],
)]
#[case::zendesk_like(
    r#"template = "{timestamp}{body}"
    from = [{ header = "X-Signature" }]
    hash = "sha512"
    encoding = "base64"
    key = { encoding = "hex" }
    timestamp = { from = [{ header = "X-Time" }], unit = "rfc3339", tolerance_seconds = 300 }"#,
    &[("X-Time", "2023-11-14T22:13:20Z"), ("X-Signature", "@sha512base64:2023-11-14T22:13:20Z{\"id\":\"evt_1\"}")],
)]
fn forms_that_later_providers_need(#[case] rule: &str, #[case] expected: &[(&str, &str)]) {
    let provider = Provider::parse("later", "later.toml", &later(rule)).unwrap();
    let secret = secrets(&["5ec2e7"]);
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let outgoing = Outgoing { id: "", topic: "", body: br#"{"id":"evt_1"}"#, at };
    let headers = Signer::new(&provider, secret[0].clone()).unwrap().sign(outgoing).unwrap().headers;
    let key = if rule.contains(r#"key = { encoding = "hex" }"#) {
        hex::decode("5ec2e7").unwrap()
    } else {
        b"5ec2e7".to_vec()
    };
    let expected: Vec<_> = expected.iter().map(|(name, form)| ((*name).to_owned(), filled(form, &key))).collect();
    assert_eq!(headers, expected);

    let verifier = Verifier::new(&provider, secret).unwrap();
    assert_eq!(verify(&verifier, &headers, outgoing.body, at), Ok(Verified::BySecret { index: 0 }));
    assert_eq!(verify(&verifier, &headers, br#"{"id":"evt_2"}"#, at), Err(Refusal::NoSecretMatched));
}

fn later(rule: &str) -> String {
    format!(
        r#"
        title = "Later"
        documentation = "https://example.com"
        rule_from = ["here"]
        retry_horizon_hours = 72
        answer_deadline_ms = 10000
        sure = "documents"
        timestamp_signed = true
        id = {{ from = [{{ body = "id" }}], signed = true }}
        topic = {{ from = [{{ fixed = "event" }}] }}
        [signature]
        scheme = "hmac"
        {rule}
        "#
    )
}

/// Puts the MAC in place of `@<how>:<what>`, independently of the code under test.
fn filled(form: &str, key: &[u8]) -> String {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    let Some((before, rest)) = form.split_once('@') else {
        return form.to_owned();
    };
    let (how, what) = rest.split_once(':').unwrap();
    let sign = |algorithm| hmac::sign(&hmac::Key::new(algorithm, key), what.as_bytes());
    let mac = match how {
        "sha256hex" => hex::encode(sign(hmac::HMAC_SHA256)),
        "sha512base64" => base64::engine::general_purpose::STANDARD.encode(sign(hmac::HMAC_SHA512)),
        other => panic!("{other}"),
    };
    format!("{before}{mac}")
}
