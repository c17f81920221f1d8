//! Any request to any provider: header grammars, templates, timestamps, encodings, bodies. Nothing panics, nothing passes,
//! whatever has a name fits an AMQP short string, and what is allocated is bounded by the request: no header can claim more.
//!
//! Input: the provider's number, then lines ("Name: value") up to an empty one, then the body.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oncehook_fuzz::bounded;
use time::OffsetDateTime;
use webhook::provider::{Catalogue, MAX_ELEMENTS, MAX_KEPT_HEADER_BYTES, Provider};
use webhook::verification::{Credentials, Headers, Incoming, Secret, Verifier};

/// The providers whose secrets are shared, with a verifier each.
static PROVIDERS: LazyLock<Vec<(Provider, Verifier)>> = LazyLock::new(|| {
    let catalogue = Catalogue::built_in().unwrap();
    let verifier = |provider: &Provider| {
        // One of these is of the provider's form.
        ["bm90IGZvdW5kIGJ5IGNoYW5jZQ==", "6e6f7420666f756e64", "user:not found by chance"].into_iter().find_map(
            |secret| {
                let credentials = Credentials {
                    secrets: vec![Secret { text: secret.into(), not_after: None }],
                    public_url: Some("https://hooks.example.com/webhooks/any".to_owned()),
                    parameters: [("webhook-id".to_owned(), "1".to_owned())].into(),
                };
                Verifier::new(provider, credentials).ok()
            },
        )
    };
    catalogue.iter().filter_map(|provider| Some((provider.clone(), verifier(provider)?))).collect()
});

/// Bytes allocated for each byte of the request.
const EACH: usize = 512;

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = input.split_first() else { return };
    let Some((provider, verifier)) = PROVIDERS.get(usize::from(*number) % PROVIDERS.len()) else { return };
    bounded(rest.len(), EACH, || receive(provider, verifier, rest));
});

fn receive(provider: &Provider, verifier: &Verifier, rest: &[u8]) {
    let (mut pairs, mut body) = (Vec::new(), rest);
    while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
        let (line, after) = body.split_at(end);
        body = &after[1..];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let Ok(name) = std::str::from_utf8(&line[..colon]) else { continue };
        pairs.push((name, &line[colon + 1..]));
    }
    let headers: Headers<'_> = pairs.iter().copied().collect();
    let received_at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let request = Incoming { headers: &headers, query: Some("bodySHA256=00&a"), body, received_at };
    let verified = verifier.verify(request);
    assert!(verified.is_err(), "{verified:?}");
    assert_eq!(verifier.explain(request).verdict, verified);
    let named = |text: &str, before: usize| {
        assert!((1..=255).contains(&(before + text.len())) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    };
    if let Ok(identity) = provider.identify(&headers, body) {
        named(&identity.id, 0);
        named(&identity.topic, provider.name().as_str().len() + 1);
    }
    if let Some(Ok(elements)) = provider.elements(body) {
        assert!(elements.len() <= MAX_ELEMENTS);
        for identity in elements.into_iter().filter_map(|element| element.identity.ok()) {
            named(&identity.id, 0);
        }
    }
    assert!(provider.kept_headers(&headers).iter().all(|(_, value)| value.len() <= MAX_KEPT_HEADER_BYTES));
}
