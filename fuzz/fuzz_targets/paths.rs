//! Any path into any body, and any template. Nothing panics, every element is a part of the body, and what is
//! allocated is bounded by the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oncehook_fuzz::bounded;
use webhook::provider::{BodyPath, ElementsPath, Template};

/// Bytes allocated for each byte of the input.
const EACH: usize = 64;

fuzz_target!(|input: (&str, &[u8])| {
    let (text, body) = input;
    bounded(text.len() + body.len(), EACH, || {
        drop(Template::try_from(text.to_owned()));
        if let Ok(path) = BodyPath::try_from(text.to_owned()) {
            drop(path.find(body));
        }
        if let Ok(path) = ElementsPath::try_from(text.to_owned()) {
            let mut found = Vec::new();
            if path.find(body, &mut found).is_ok() {
                let range = body.as_ptr_range();
                assert!(found.iter().all(|element| range.contains(&element.as_ptr())));
            }
        }
    });
});
