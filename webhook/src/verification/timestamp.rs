//! The signed time of sending: read as the provider writes it, compared with the time of receipt.
//!
//! Bounds how long a captured request can be sent again. The text goes into the MAC as it came, so reading
//! it loosely would let two readings share a signature; hence digits and nothing else.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::incoming::value;
use super::{Headers, Incoming, Refusal};
use crate::provider::{TimestampRule, TimestampUnit};

/// The timestamp as it was sent, once it is known to be near enough to `received_at`.
pub(super) fn check<'r>(
    rule: &TimestampRule,
    headers: &Headers<'r>,
    scope: &'r [u8],
    received_at: OffsetDateTime,
) -> Result<String, Refusal> {
    let text = find(rule, headers, scope)?;
    let age_seconds = age_of(rule, &text, received_at)?;
    let tolerance = i64::from(rule.tolerance_seconds);
    if age_seconds > tolerance {
        Err(Refusal::TimestampTooOld { seconds: age_seconds })
    } else if age_seconds < -tolerance {
        Err(Refusal::TimestampTooNew { seconds: age_seconds.saturating_neg() })
    } else {
        Ok(text)
    }
}

/// How long before its receipt a request was sent, in seconds; below zero if after.
pub(super) fn age(rule: &TimestampRule, request: Incoming<'_>) -> Result<i64, Refusal> {
    age_of(rule, &find(rule, request.headers, request.body)?, request.received_at)
}

fn age_of(rule: &TimestampRule, text: &str, received_at: OffsetDateTime) -> Result<i64, Refusal> {
    let sent_ms = read(rule.unit, text).ok_or(Refusal::TimestampMalformed)?;
    let received_ms = received_at.unix_timestamp_nanos().div_euclid(1_000_000);
    Ok(i64::try_from((received_ms - i128::from(sent_ms)).div_euclid(1000)).unwrap_or(i64::MAX))
}

/// Writes a time as the provider would.
pub(super) fn write(unit: TimestampUnit, at: OffsetDateTime) -> Result<String, time::error::Format> {
    Ok(match unit {
        TimestampUnit::Seconds => at.unix_timestamp().to_string(),
        TimestampUnit::Milliseconds => at.unix_timestamp_nanos().div_euclid(1_000_000).to_string(),
        TimestampUnit::Rfc3339 => at.format(&Rfc3339)?,
    })
}

fn find<'r>(rule: &TimestampRule, headers: &Headers<'r>, scope: &'r [u8]) -> Result<String, Refusal> {
    for part in &rule.from {
        let Some(whole) = value(part, headers, scope)? else { continue };
        let mut texts = part.parts(&whole);
        return match (texts.next(), texts.next()) {
            (Some(text), None) => Ok(text.to_owned()),
            (None, _) => Err(Refusal::TimestampMissing),
            (Some(_), Some(_)) => Err(Refusal::TimestampMalformed),
        };
    }
    Err(Refusal::TimestampMissing)
}

/// Milliseconds since 1970.
fn read(unit: TimestampUnit, text: &str) -> Option<i64> {
    match unit {
        TimestampUnit::Seconds => digits(text)?.checked_mul(1000),
        TimestampUnit::Milliseconds => digits(text),
        TimestampUnit::Rfc3339 => {
            let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
        }
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
