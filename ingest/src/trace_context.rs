//! The W3C trace context (<https://www.w3.org/TR/trace-context/>): taken over from the request or begun here,
//! so that one webhook can be followed through queue and worker.

use shared::trace_context::{begin, is_well_formed};
use shared::verification::Headers;

/// The request's `traceparent` if it is well-formed, else a new one.
pub(crate) fn traceparent(headers: &Headers<'_>) -> Option<String> {
    match headers.one("traceparent") {
        Ok(Some(given)) if is_well_formed(given) => Some(given.to_owned()),
        Ok(_) | Err(_) => begin(),
    }
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
