//! Any request to any provider: header grammars, templates, timestamps, encodings, bodies. Nothing panics, nothing passes,
//! whatever has a name fits an AMQP short string, and what is allocated is bounded by the request: no header can claim more.
//!
//! Input: the provider's number, then lines ("Name: value") up to an empty one, then the body. Nobody guesses a header's name
//! byte by byte: so mutations begin, now and then, from what the provider sends, signed with a key that is another's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use oncehook_fuzz::bounded;
use time::OffsetDateTime;
use webhook::provider::{Catalogue, MAX_ELEMENTS, MAX_KEPT_HEADER_BYTES, Provider, Sample};
use webhook::verification::{Credentials, Headers, Incoming, Outgoing, Secret, Signer, Verifier};

/// What a source may be given: of each kind of key one. One of them is of the provider's form.
const OURS: [&str; 6] = [
    "bm90IGZvdW5kIGJ5IGNoYW5jZQ==",
    "6e6f7420666f756e64",
    "user:not found by chance",
    "d1594a36543cdc082ffe415c427e93c898c5dd5a7020480e508d16db62b91fb1",
    "0VlKNlQ83Agv/kFcQn6TyJjF3VpwIEgOUI0W22K5H7E=",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYuRv2ZzeO+KKxR38wcysHdI532m0emAl2IDwFj+eqeSqnzTgd3U30FHFrtXblRGaPDRbe0XbRoaR0v/RtxKW0w==",
];

/// What samples are signed with: secrets, and private keys that were made for this.
const ANOTHERS: [&str; 5] = [
    "YW5vdGhlciBzZWNyZXQ=",
    "616e6f74686572",
    "user:another password",
    "MC4CAQAwBQYDK2VwBCIEIFxstXE5zPEmsOJOaRNzQlmVvXb67gmCp6AxQQNdCk/S",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBsXrjV+f4NWk5jbG8wVK+AaM6sDj7CNmkjabusLo2KWhRANCAAQ7JVFIss2a//xr1C4DZIVYrrKz2b7UXHgRZNHaDkbOZuOn0wrD+SWRiv/ZCLz3zZkiq0BjUd/yTy0ZIwYV+fJN",
];

/// All providers with a verifier each. PayPal's has no key: it goes as far as the certificate's URL.
static PROVIDERS: LazyLock<Vec<(Provider, Verifier)>> = LazyLock::new(|| {
    let catalogue = Catalogue::built_in().unwrap();
    let verifier = |provider: &Provider| {
        let with_secret = OURS.into_iter().find_map(|secret| Verifier::new(provider, credentials(Some(secret))).ok());
        with_secret.unwrap_or_else(|| Verifier::new(provider, credentials(None)).unwrap())
    };
    catalogue.iter().map(|provider| (provider.clone(), verifier(provider))).collect()
});

/// The providers' samples, as inputs.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let numbered = PROVIDERS.iter().enumerate();
    numbered
        .flat_map(|(number, (provider, _))| {
            provider.samples().into_iter().map(move |sample| input(number, provider, &sample))
        })
        .collect()
});

fn credentials(secret: Option<&str>) -> Credentials {
    Credentials {
        secrets: secret.into_iter().map(|text| Secret { text: text.into(), not_after: None }).collect(),
        public_url: Some("https://hooks.example.com/webhooks/any".to_owned()),
        parameters: [("webhook-id".to_owned(), "1".to_owned())].into(),
    }
}

fn received_at() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

/// A sample as its provider sends it, but for the key. What can't be signed (RSA) has the body alone.
fn input(number: usize, provider: &Provider, sample: &Sample) -> Vec<u8> {
    let body = sample.body.as_bytes();
    let outgoing = Outgoing { id: "1", topic: &sample.topic, body, at: received_at() };
    let sign = |secret| Signer::new(provider, credentials(Some(secret))).ok()?.sign(outgoing).ok();
    let (headers, body) =
        ANOTHERS.into_iter().find_map(sign).map_or((Vec::new(), body.to_vec()), |signed| (signed.headers, signed.body));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    [&[u8::try_from(number).unwrap()], lines.as_bytes(), b"\n", &body].concat()
}

/// Bytes allocated for each byte of the request.
const EACH: usize = 512;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let drawn = usize::try_from(seed).unwrap();
    let sample = if size < 2 || drawn % 64 == 0 { SAMPLES.get(drawn / 64 % SAMPLES.len()) } else { None };
    let size = match sample.filter(|sample| sample.len() <= max_size) {
        Some(sample) => {
            data[..sample.len()].copy_from_slice(sample);
            sample.len()
        }
        None => size,
    };
    fuzzer_mutate(data, size, max_size)
});

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
    let query = Some("bodySHA256=00&a");
    let request = Incoming { headers: &headers, query, body, received_at: received_at() };
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
