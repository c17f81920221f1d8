//! Any text as a provider file. Nothing panics; what is accepted can be used; what is allocated is bounded by the
//! text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oncehook_fuzz::bounded;
use time::OffsetDateTime;
use webhook::provider::Provider;
use webhook::verification::{Credentials, Headers, Incoming, Secret, Verifier};

/// Bytes allocated for each byte of the text: it is parsed into a tree, and errors quote it.
const EACH: usize = 1024;

fuzz_target!(|text: &str| bounded(text.len(), EACH, || use_file(text)));

fn use_file(text: &str) {
    let Ok(provider) = Provider::parse("fuzzed", "fuzzed.toml", text) else { return };
    let headers: Headers<'_> = [("X-Signature", &b"v1=00,v1=AA=="[..])].into_iter().collect();
    let body = br#"{"id":1,"events":[{"id":"a"}]}"#;
    drop(provider.identify(&headers, body));
    drop(provider.elements(body));
    let secrets = vec![Secret { text: "6e6f74".into(), not_after: None }];
    let credentials =
        Credentials { secrets, public_url: Some("https://a.example".to_owned()), ..Credentials::default() };
    if let Ok(verifier) = Verifier::new(&provider, credentials) {
        let received_at = OffsetDateTime::UNIX_EPOCH;
        drop(verifier.verify(Incoming { headers: &headers, query: None, body, received_at }));
    }
}
