//! Moments as a person gives them: a time of RFC 3339, or how long ago it was.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give a time such as 2026-11-23T17:00:00Z, or how long ago it was: 90s, 30m, 2h, 7d")]
pub(crate) struct NoMoment;

/// Reads a moment; how long ago counts from now, by this machine's clock.
pub(crate) fn moment(text: &str) -> Result<OffsetDateTime, NoMoment> {
    before(OffsetDateTime::now_utc(), text)
}

fn before(now: OffsetDateTime, text: &str) -> Result<OffsetDateTime, NoMoment> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let (unit, number) = text.char_indices().next_back().map(|(at, unit)| (unit, &text[..at])).ok_or(NoMoment)?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(NoMoment),
    };
    let number: u32 = number.parse().map_err(|_no_number| NoMoment)?;
    now.checked_sub(Duration::seconds(seconds.saturating_mul(number.into()))).ok_or(NoMoment)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-23T17:00:00Z", Some("2026-11-23T17:00:00Z"))]
    #[case("2026-11-23T17:00:00.5+01:00", Some("2026-11-23T16:00:00.5Z"))]
    #[case("90s", Some("2026-11-22T23:58:30Z"))]
    #[case("30m", Some("2026-11-22T23:30:00Z"))]
    #[case("2h", Some("2026-11-22T22:00:00Z"))]
    #[case("7d", Some("2026-11-16T00:00:00Z"))]
    #[case("", None)]
    #[case("2", None)]
    #[case("h", None)]
    #[case("-2h", None)]
    #[case("2w", None)]
    #[case("4294967295d", None)]
    #[case("yesterday", None)]
    #[case("2026-11-23", None)]
    #[case("1ü", None)]
    fn times_and_ages_are_read(#[case] text: &str, #[case] expected: Option<&str>) {
        let now = OffsetDateTime::parse("2026-11-23T00:00:00Z", &Rfc3339).unwrap();
        let expected = expected.map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
        assert_eq!(before(now, text).ok(), expected);
    }
}
