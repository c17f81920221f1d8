//! The W3C trace context (<https://www.w3.org/TR/trace-context/>): taken over from the request or begun here,
//! so that one webhook can be followed through queue and worker.

use aws_lc_rs::rand;
use shared::verification::Headers;

/// The request's `traceparent` if it is well-formed, else a new one.
pub(crate) fn traceparent(headers: &Headers<'_>) -> Option<String> {
    match headers.one("traceparent") {
        Ok(Some(given)) if is_well_formed(given) => Some(given.to_owned()),
        Ok(_) | Err(_) => begin(),
    }
}

/// Version 00: `00-<32 hex>-<16 hex>-<2 hex>` in lower case, neither id all zeros.
fn is_well_formed(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length: usize| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    matches!(
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()),
        (Some("00"), Some(trace), Some(parent), Some(flags), None)
            if id(trace, 32) && id(parent, 16) && hex(flags, 2)
    )
}

/// A fresh, sampled trace; `None` if the system has no randomness, which is no reason to refuse a webhook.
fn begin() -> Option<String> {
    let (mut trace, mut parent) = ([0; 16], [0; 8]);
    rand::fill(&mut trace).ok()?;
    rand::fill(&mut parent).ok()?;
    Some(format!("00-{:032x}-{:016x}-01", u128::from_ne_bytes(trace), u64::from_ne_bytes(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_well_formed_one_is_taken_over() {
        let headers = Headers::new([("Traceparent", GIVEN.as_bytes())]);
        assert_eq!(traceparent(&headers).as_deref(), Some(GIVEN));
    }

    #[test]
    fn anything_else_begins_a_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for bad in [
            "",
            "00",
            &GIVEN[1..],
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &zero_trace,
            &format!("{GIVEN}-1"),
        ] {
            let fresh = traceparent(&Headers::new([("traceparent", bad.as_bytes())])).unwrap();
            assert!(is_well_formed(&fresh) && fresh != bad, "{bad}");
        }
        let twice = Headers::new([("traceparent", GIVEN.as_bytes()), ("traceparent", GIVEN.as_bytes())]);
        assert_ne!(traceparent(&twice).as_deref(), Some(GIVEN));
        assert_ne!(traceparent(&Headers::default()), traceparent(&Headers::default()));
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(is_well_formed(&traceparent(&Headers::new([("traceparent", value.as_slice())])).unwrap()));
        }
    }
}
