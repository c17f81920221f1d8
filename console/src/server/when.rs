//! Moments that a person enters on a page: how long ago, or a date and a time, each in a field of its own.
//!
//! With scripts, a date is the viewer's and is sent as the instant that it is, in the other field. Without, it is UTC, as the
//! times on the page are.

use askama::Template;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// The two fields.
#[derive(Debug, Template)]
#[template(path = "when.html")]
pub(crate) struct When<'q> {
    name: &'static str,
    label: &'static str,
    /// What was entered.
    text: &'q str,
    /// The same as the field of a date has it, in UTC, if it is one.
    picked: Option<String>,
}

impl askama::filters::HtmlSafe for When<'_> {}

/// The fields that ask from when.
pub(crate) fn since(text: &str) -> When<'_> {
    When { name: "since", label: "Since", text, picked: picked(text) }
}

/// The fields that ask until when.
pub(crate) fn until(text: &str) -> When<'_> {
    When { name: "until", label: "Until", text, picked: picked(text) }
}

fn picked(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?.to_offset(time::UtcOffset::UTC);
    at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]")).ok()
}

/// What a form without scripts says, as one with scripts would have.
pub(crate) fn settle(text: &mut String, picked: &mut String) {
    let picked = std::mem::take(picked);
    if text.trim().is_empty() && !picked.trim().is_empty() {
        let seconds = if picked.len() == "2026-11-23T17:00".len() { ":00" } else { "" };
        *text = format!("{picked}{seconds}Z");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_the_field_that_it_was_entered_in() {
        let ago = since("2h").to_string();
        assert!(ago.contains(r#"value="2h""#) && !ago.contains("data-utc"), "{ago}");
        let at = until("2026-11-23T17:00:00+01:00").to_string();
        assert!(at.contains(r#"value="2026-11-23T16:00:00" data-utc="2026-11-23T16:00:00Z""#), "{at}");
        assert!(!at.contains("+01:00"), "{at}");
    }

    #[test]
    fn a_form_without_scripts_means_utc() {
        for (text, picked, expected) in [
            ("", "2026-11-23T17:00", "2026-11-23T17:00:00Z"),
            ("", "2026-11-23T17:00:30", "2026-11-23T17:00:30Z"),
            ("2h", "", "2h"),
        ] {
            let mut settled = text.to_owned();
            settle(&mut settled, &mut picked.to_owned());
            assert_eq!(settled, expected);
        }
    }
}
