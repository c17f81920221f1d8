//! The W3C trace context (<https://www.w3.org/TR/trace-context/>), by which one webhook is followed from its request through
//! queue and worker to each effect. Here is its text form, `traceparent`; what makes spans of it is in [`crate::traces`].
//!
//! Whatever names a webhook in a log line names its trace beside it, under one key everywhere: `trace_id`.

use aws_lc_rs::rand;

/// A trace's id: 32 hexadecimal digits. Kept where the message it was read from is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// That of a `traceparent`.
    #[must_use]
    pub fn of(traceparent: &str) -> Option<Self> {
        trace_id(traceparent)?.as_bytes().try_into().ok().map(Self)
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // it was made of text
    }
}

/// The trace's id within a `traceparent`, if it is there: 32 hexadecimal digits.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// Whether it is version 00: `00-<32 hex>-<16 hex>-<2 hex>` in lower case, neither id all zeros.
#[must_use]
pub fn is_well_formed(traceparent: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length: usize| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = traceparent.split('-');
    matches!(
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()),
        (Some("00"), Some(trace), Some(parent), Some(flags), None)
            if id(trace, 32) && id(parent, 16) && hex(flags, 2)
    )
}

/// A fresh, sampled trace; `None` if the system has no randomness, which is no reason to refuse a webhook.
#[must_use]
pub fn begin() -> Option<String> {
    let mut random = [0; 24];
    rand::fill(&mut random).ok()?;
    let (trace, parent) = random.split_at(16);
    Some(format!("00-{}-{}-01", hex::encode(trace), hex::encode(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_has_its_id_wherever_it_is_kept() {
        assert_eq!(trace_id(GIVEN), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(TraceId::of(GIVEN).unwrap().as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for none in ["", "00", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", "00-ünïcödé-1-01"] {
            assert_eq!((trace_id(none), TraceId::of(none)), (None, None), "{none}");
        }
    }

    #[test]
    fn a_fresh_one_is_well_formed_and_unlike_any_other() {
        let (one, other) = (begin().unwrap(), begin().unwrap());
        assert!(is_well_formed(&one) && is_well_formed(&other) && one != other);
    }
}
