//! Reading provider files, and naming webhooks by them.

use std::fs;
use std::path::Path;

use rstest::rstest;

use super::{Catalogue, Field, IdentityError, Provider, ProviderError};
use crate::verification::{HeaderError, Headers};

const GOOD: &str = r#"
title = "Example"
documentation = "https://example.com/webhooks"
rule_from = ["https://example.com/webhooks"]
retry_horizon_hours = 24
answer_deadline_ms = 5000
sure = "documents"
timestamp_signed = false
keep_headers = ["X-Shop"]
[id]
from = [{ header = "X-Id" }, { body = "event.id" }, { body_hash = "sha256" }]
signed = false
[topic]
from = [{ header = "X-Topic" }, { body = "type" }]
[signature]
scheme = "hmac"
hash = "sha256"
template = "{body}"
from = [{ header = "X-Signature", prefix = "sha256=" }]
encoding = "hex"
key = { encoding = "raw" }
"#;

fn parse(text: &str) -> Result<Provider, ProviderError> {
    Provider::parse("example", "providers/example.toml", text)
}

fn identify(headers: &[(&str, &str)], body: &str) -> Result<(String, String), IdentityError> {
    let headers: Headers<'_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let identity = parse(GOOD).unwrap().identify(&headers, body.as_bytes())?;
    Ok((identity.id, identity.topic))
}

#[test]
fn every_file_in_providers_is_registered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let catalogue = Catalogue::built_in().unwrap();
    let registered: Vec<_> = catalogue.iter().map(|provider| provider.name().to_string()).collect();
    assert_eq!(files, registered, "each file wants one line in catalogue.rs");
}

#[test]
fn a_users_provider_replaces_a_built_in_one() {
    let mut catalogue = Catalogue::built_in().unwrap();
    catalogue.insert(Provider::parse("github", "mine/github.toml", GOOD).unwrap());
    assert_eq!(catalogue.get("github").unwrap().title(), "Example");
    assert!(catalogue.get("nobody").is_none());
}

#[rstest]
#[case::unknown_key("title =", "titel =", "titel")]
#[case::missing_key("retry_horizon_hours = 24", "", "retry_horizon_hours")]
#[case::unknown_scheme("scheme = \"hmac\"", "scheme = \"hmca\"", "expected one of `hmac`")]
#[case::unknown_signature_key("\nhash =", "\nhsh =", "unknown field `hsh`")]
#[case::unknown_hash(
    "hash = \"sha256\"\ntemplate",
    "hash = \"md5\"\ntemplate",
    "expected one of `sha1`, `sha256`, `sha512`"
)]
#[case::placeholder("{body}", "{bdy}", "known are {body}, {id}, {timestamp}, {url}")]
#[case::brace("{body}", "{body", "brace")]
#[case::header_name("\"X-Id\"", "\"X Id\"", "\"X Id\" is no header name")]
#[case::path("event.id", "event..id", "no path into the body")]
#[case::place("{ body = \"type\" }", "{ bdy = \"type\" }", "bdy")]
#[case::bounds("retry_horizon_hours = 24", "retry_horizon_hours = 0", "retry_horizon_hours is 0, should be 1 to 8760")]
#[case::url(
    "https://example.com/webhooks\"\nrule",
    "example.com\"\nrule",
    "documentation is \"example.com\", should be an https:// URL"
)]
#[case::no_rule_from("[\"https://example.com/webhooks\"]", "[]", "rule_from is [], should be at least one source")]
#[case::no_body("{body}", "body", "signature.template is without {body}")]
#[case::signed_is_a_lie("\nsigned = false", "\nsigned = true", "id.signed is true, should be false")]
#[case::time_signed_is_a_lie(
    "timestamp_signed = false",
    "timestamp_signed = true",
    "timestamp_signed is true, should be false"
)]
#[case::unsure_of_what("sure = \"documents\"", "sure = \"third-party\"", "unsure_about is []")]
#[case::batch_with_headers("[topic]", "[batch]\nelements = [\"*\"]\n[topic]", "elements have no headers of their own")]
#[case::elements_without_star("[topic]", "[batch]\nelements = [\"a\"]\n[topic]", "at least one star")]
#[case::answer_without_type("[topic]", "[answer]\nbody = \"ok\"\n[topic]", "answer.content_type is None")]
#[case::handshake_no_json(
    "[topic]",
    "[[handshake]]\nwhen = { body = \"a\", is = \"b\" }\nanswer = { json = \"{\" }\n[topic]",
    "a JSON document"
)]
#[case::hash_of_a_public_key("scheme = \"hmac\"", "scheme = \"ed25519\"", "there exactly if the scheme is hmac")]
#[case::certificate_of_a_secret(
    "key = { encoding = \"raw\" }",
    "key = { encoding = \"pem\" }",
    "an HMAC has no certificate"
)]
#[case::unpinned(
    "hash = \"sha256\"\ntemplate",
    "certificate = { url_from = \"U\", url_prefixes = [\"https://api.example.com\"], name_suffix = \".example.com\" }\nhash = \"sha256\"\ntemplate",
    "another host could begin alike"
)]
#[case::others_than_verified("scheme = \"hmac\"", "scheme = \"hmac\"\neach = \"a.*\"", "was not verified is anybody's")]
#[case::the_body_for_each("scheme = \"hmac\"", "scheme = \"hmac\"\neach = \"a.*\"", "hashed for each element")]
#[case::two_places("header = \"X-Signature\"", "header = \"X-Signature\", body = \"a\"", "give one of header and body")]
#[case::id_in_template(
    "{body}",
    "{id}{body}",
    "id.from is not only headers, should be headers only, since the template has {id}"
)]
#[case::timestamp_nowhere("{body}", "{timestamp}{body}", "signature.timestamp is missing")]
#[case::constant_id("{ body_hash = \"sha256\" }", "{ fixed = \"1\" }", "should be something that tells webhooks apart")]
#[case::unreachable("{ body = \"event.id\" }", "{ body_hash = \"sha256\" }", "in the last place only")]
#[case::no_place("[{ header = \"X-Topic\" }, { body = \"type\" }]", "[]", "topic.from is 0 places")]
#[case::signature_kept("[\"X-Shop\"]", "[\"x-signature\"]", "it carries the signature")]
#[case::kept_twice("[\"X-Shop\"]", "[\"X-Shop\", \"x-shop\"]", "keep_headers is \"x-shop\" again")]
#[case::prefix("prefix =", "separator = \"=\", prefix =", "a prefix without the separator")]
fn mistakes_are_named(#[case] right: &str, #[case] wrong: &str, #[case] said: &str) {
    assert!(GOOD.contains(right), "{right}");
    let error = parse(&GOOD.replacen(right, wrong, 1)).unwrap_err().to_string();
    assert!(error.starts_with("providers/example.toml: "), "{error}");
    assert!(error.contains(said), "{error}");
}

#[test]
fn every_contradiction_is_listed_at_once() {
    let text = GOOD.replace("\nsigned = false", "\nsigned = true").replace("= 24", "= 0").replace("= 5000", "= 1");
    let Err(ProviderError::Invalid { mistakes, .. }) = parse(&text) else {
        panic!("passed");
    };
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key).collect();
    assert_eq!(keys, ["retry_horizon_hours", "answer_deadline_ms", "id.signed"]);
}

#[test]
fn the_first_place_that_is_there_counts() {
    let body = r#"{"event":{"id":17},"type":"paid"}"#;
    let both = identify(&[("x-id", "a-1"), ("X-Topic", "created")], body);
    assert_eq!(both, Ok(("a-1".to_owned(), "created".to_owned())));
    assert_eq!(identify(&[], body), Ok(("17".to_owned(), "paid".to_owned())));
    let hash = "29ecbeb830e3244605e5a88493e4088424a71780e5cf59bb3475f278f294335b";
    let (id, _) = identify(&[("X-Topic", "t")], "no JSON").unwrap();
    assert_eq!(id, hash);
}

#[rstest]
#[case::string(r#"{"event":{"id":"e\u0041"}}"#, Some("eA"))]
#[case::big_number(r#"{"event":{"id":820982911946154508123}}"#, Some("820982911946154508123"))]
#[case::last_of_two_keys(r#"{"event":{"id":"1"},"event":{"id":"2"}}"#, Some("2"))]
#[case::escaped_key(r#"{"\u0065vent":{"id":"1"}}"#, Some("1"))]
#[case::null(r#"{"event":{"id":null}}"#, None)]
#[case::scalar_on_the_way(r#"{"event":"id"}"#, None)]
#[case::trailing_garbage(r#"{"event":{"id":"1"}} x"#, None)]
#[case::cut_short(r#"{"event":{"id":"1"}"#, None)]
#[case::array(r#"[{"event":{"id":"1"}}]"#, None)]
fn ids_in_the_body(#[case] body: &str, #[case] expected: Option<&str>) {
    let (id, _) = identify(&[("X-Topic", "t")], body).unwrap();
    match expected {
        Some(expected) => assert_eq!(id, expected),
        None => assert_eq!(id.len(), 64, "the body's hash is next"),
    }
}

#[test]
fn deep_bodies_are_not_followed() {
    let body = "[".repeat(100_000);
    assert_eq!(identify(&[("X-Topic", "t")], &body).unwrap().0.len(), 64);
    let inside = format!(r#"{{"x":{}{},"event":{{"id":"1"}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(identify(&[("X-Topic", "t")], &inside).is_ok());
}

#[rstest]
#[case::empty("", IdentityError::Empty(Field::Id), "empty")]
#[case::blank("  \t", IdentityError::Empty(Field::Id), "empty")]
#[case::control("a\tb", IdentityError::Header { field: Field::Id, source: HeaderError::NotText { header: "X-Id".to_owned() } }, "header_not_text")]
#[case::not_ascii("ü", IdentityError::Header { field: Field::Id, source: HeaderError::NotText { header: "X-Id".to_owned() } }, "header_not_text")]
fn bad_ids_in_headers(#[case] value: &str, #[case] expected: IdentityError, #[case] code: &str) {
    let error = identify(&[("X-Id", value), ("X-Topic", "t")], "{}").unwrap_err();
    assert_eq!((error.code(), error), (code, expected));
}

#[rstest]
#[case::empty(r#"{"event":{"id":""}}"#, "empty")]
#[case::control(r#"{"event":{"id":"a\u0000b"}}"#, "unprintable")]
#[case::not_ascii(r#"{"event":{"id":"ü"}}"#, "unprintable")]
#[case::like_a_replay(r#"{"event":{"id":"↻r1:w1"}}"#, "unprintable")]
#[case::space_at_an_end(r#"{"event":{"id":" a"}}"#, "unprintable")]
#[case::object(r#"{"event":{"id":{}}}"#, "not_text")]
#[case::boolean(r#"{"event":{"id":true}}"#, "not_text")]
#[case::lone_surrogate(r#"{"event":{"id":"\ud800"}}"#, "not_text")]
fn bad_ids_in_bodies(#[case] body: &str, #[case] code: &str) {
    assert_eq!(identify(&[("X-Topic", "t")], body).unwrap_err().code(), code);
}

#[test]
fn a_header_given_twice_is_refused_even_with_one_value() {
    let error = identify(&[("X-Id", "1"), ("x-id", "1"), ("X-Topic", "t")], "{}").unwrap_err();
    assert_eq!(error.code(), "header_twice");
    assert_eq!(error.to_string(), "the webhook's id: header X-Id was given more than once");
}

#[test]
fn a_missing_topic_says_where_it_was_looked_for() {
    let error = identify(&[("X-Id", "1")], "{}").unwrap_err();
    assert_eq!(error.code(), "topic_missing");
    assert_eq!(error.to_string(), "the webhook has no topic; looked in header X-Topic, \"type\" in the body");
}

#[test]
fn id_and_topic_fit_short_strings() {
    let of = |length: usize| "x".repeat(length);
    assert!(identify(&[("X-Id", &of(255)), ("X-Topic", "t")], "").is_ok());
    let error = identify(&[("X-Id", &of(256)), ("X-Topic", "t")], "").unwrap_err();
    assert_eq!(error, IdentityError::TooLong { field: Field::Id, bytes: 256 });
    // "example." takes 8 of the 255.
    assert!(identify(&[("X-Id", "1"), ("X-Topic", &of(247))], "").is_ok());
    let error = identify(&[("X-Id", "1"), ("X-Topic", &of(248))], "").unwrap_err();
    assert_eq!(error, IdentityError::TooLong { field: Field::Topic, bytes: 256 });
}

#[test]
fn kept_headers_are_kept_if_they_are_usable() {
    let provider = parse(GOOD).unwrap();
    let keep = |pairs: &[(&str, &[u8])]| provider.kept_headers(&pairs.iter().copied().collect());
    assert_eq!(keep(&[("x-shop", b" a.example "), ("X-Other", b"b")]), [("x-shop".to_owned(), "a.example".to_owned())]);
    for unusable in
        [&[("X-Shop", &b"a"[..]), ("X-Shop", b"a")][..], &[("X-Shop", b"\xff")], &[("X-Shop", &[b'a'; 1025])], &[]]
    {
        assert!(keep(unusable).is_empty());
    }
}
