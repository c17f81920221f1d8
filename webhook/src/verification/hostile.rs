//! Hostile input: whatever the request says, nothing panics and nothing passes.

use proptest::prelude::*;
use time::OffsetDateTime;

use super::fixture_keys::pair;
use super::{Credentials, Headers, Incoming, Verifier};
use crate::provider::{BodyPath, Catalogue, ElementsPath, HeaderName, Place, Provider, Template};

/// A source of a provider, with a secret that nobody can guess by chance.
fn credentials(provider: &Provider) -> Credentials {
    Credentials {
        secrets: vec![pair(provider, "not found by chance").verifying.into()],
        public_url: Some("https://hooks.example.com/webhooks/any".to_owned()),
        parameters: [("webhook-id".to_owned(), "1".to_owned())].into(),
    }
}

/// Bodies near the providers' forms, and far from them.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        json().prop_map(|body| body.to_string().into_bytes()),
        json().prop_map(|body| serde_json::json!({ "signature": body, "notificationItems": [body] })
            .to_string()
            .into_bytes()),
        "([a-c]=[%a-z0-9+]{0,5}&?){0,9}".prop_map(String::into_bytes),
    ]
}

/// Header names that matter to some provider, and some that don't.
fn names() -> impl Strategy<Value = String> {
    let mut known = Vec::new();
    for provider in Catalogue::built_in().unwrap().iter() {
        let signature = provider.signature().places().iter().filter_map(|part| part.header());
        let timestamp = provider.signature().signed().and_then(|(_, rule)| rule.timestamp.as_ref());
        let timestamp = timestamp.into_iter().flat_map(|rule| rule.from.iter().filter_map(|part| part.header()));
        let named = provider.id_places().iter().chain(provider.topic_places()).filter_map(|place| match place {
            Place::Header(name) | Place::HeaderAndBodyHash(name) => Some(name),
            _ => None,
        });
        known.extend(signature.chain(timestamp).chain(named).map(|name| name.as_str().to_owned()));
    }
    prop_oneof![proptest::sample::select(known), "[A-Za-z-]{0,20}"]
}

/// Values near the providers' grammars, and far from them.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[ -~]{0,300}".prop_map(String::into_bytes),
        "sha256=[0-9a-f]{62,66}".prop_map(String::into_bytes),
        "(v1,[A-Za-z0-9+/]{43}= ?){0,40}".prop_map(String::into_bytes),
        "[A-Za-z0-9+/]{43}=".prop_map(String::into_bytes),
        (1_699_999_000i64..1_700_001_000).prop_map(|seconds| seconds.to_string().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_request_passes_by_chance(
        pairs in proptest::collection::vec((names(), values()), 0..12),
        body in bodies(),
        query in "[a-zA-Z0-9=&%]{0,40}",
    ) {
        let headers: Headers = pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        for provider in Catalogue::built_in().unwrap().iter() {
            let verifier = Verifier::new(provider, credentials(provider)).unwrap();
            let request = Incoming { headers: &headers, query: Some(&query), body: &body, received_at: at };
            prop_assert!(verifier.verify(request).is_err());
            if let Ok(identity) = provider.identify(&headers, &body) {
                for text in [&identity.id, &format!("{}.{}", provider.name(), identity.topic)] {
                    prop_assert!((1..=255).contains(&text.len()));
                    prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                }
            }
            let kept = provider.kept_headers(&headers);
            prop_assert!(kept.iter().all(|(_, value)| value.len() <= 1024));
        }
    }

    #[test]
    fn a_path_into_a_body_agrees_with_a_parsed_body(
        body in json(),
        path in proptest::collection::vec("a|b|id|0|1", 1..4),
    ) {
        let text = serde_json::to_vec(&body).unwrap();
        let provider = Provider::parse("p", "p.toml", &by_path(&path.join("."))).unwrap();
        let mut value = Some(&body);
        for step in &path {
            value = value.and_then(|value| match value {
                serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                other => other.get(step),
            });
        }
        let expected = match value {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let found = provider.identify(&Headers::default(), &text).ok().map(|identity| identity.id);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_upsets_the_readers(text in "\\PC{0,80}") {
        drop(Template::try_from(text.clone()));
        drop(BodyPath::try_from(text.clone()));
        drop(HeaderName::try_from(text.clone()));
        drop(ElementsPath::try_from(text.clone()));
        drop(Provider::parse(&text, "p.toml", &text));
    }

    #[test]
    fn no_bent_file_upsets_the_reader(position in 0usize..3000, byte in 0u8..128, cut in 0usize..3) {
        let mut text = include_bytes!("../../../providers/standard-webhooks.toml").to_vec();
        let position = position % text.len();
        text.splice(position..(position + cut).min(text.len()), [byte]);
        drop(Provider::parse("p", "p.toml", &String::from_utf8_lossy(&text)));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z]{1,5}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("a|b|id|0", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn by_path(path: &str) -> String {
    format!(
        r#"
        title = "Path"
        documentation = "https://example.com"
        rule_from = ["here"]
        retry_horizon_hours = 1
        answer_deadline_ms = 1000
        sure = "documents"
        timestamp_signed = false
        id = {{ from = [{{ body = "{path}" }}], signed = true }}
        topic = {{ from = [{{ fixed = "t" }}] }}
        signature = {{ scheme = "hmac", hash = "sha256", template = "{{body}}", from = [{{ header = "S" }}], encoding = "hex", key = {{ encoding = "raw" }} }}
        "#
    )
}
