//! What a provider sent, for a person's eyes: secrets masked, JSON indented, control characters shown.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::output::printable;

/// Parts of header names whose values are not shown.
const SECRET_LIKE: [&str; 8] = ["auth", "cookie", "key", "passw", "secret", "session", "signature", "token"];
const MASK: &str = "***";
const INDENT: &str = "  ";
/// What is nested deeper stays as it is: its lines would be mostly indent, and a stranger chooses how deep that goes.
const MAX_DEPTH: usize = 128;
/// The same for what would become so many times as long, beyond [`MAX_INDENT_BYTES`].
const MAX_GROWTH: usize = 8;
const MAX_INDENT_BYTES: usize = 256 * 1024;

/// A body as JSON can hold it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ShownBody {
    /// It is UTF-8.
    Text(String),
    /// It is not.
    Base64(String),
}

/// Headers with the values masked of those that sound like secrets. None is kept that is known to be one; a provider
/// may have thought of another.
pub(crate) fn masked(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_secret = |name: &str| SECRET_LIKE.iter().any(|part| name.to_ascii_lowercase().contains(part));
    headers
        .into_iter()
        .map(|(name, value)| if is_secret(&name) { (name, MASK.to_owned()) } else { (name, value) })
        .collect()
}

impl From<Vec<u8>> for ShownBody {
    fn from(body: Vec<u8>) -> Self {
        String::from_utf8(body).map_or_else(|error| Self::Base64(STANDARD.encode(error.as_bytes())), Self::Text)
    }
}

impl ShownBody {
    /// Lines for a terminal.
    pub(crate) fn text(&self) -> String {
        let text = match self {
            Self::Base64(_) => return "(not text; --raw writes it as it is)\n".to_owned(),
            Self::Text(text) if text.is_empty() => return "(empty)\n".to_owned(),
            Self::Text(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                indented(text).unwrap_or_else(|| text.clone())
            }
            Self::Text(text) => text.clone(),
        };
        text.lines().map(|line| printable(line) + "\n").collect()
    }
}

/// Valid JSON with line breaks. Only white space changes: keys keep their order, numbers their digits. `None` for what is
/// nested too deep or would grow too long.
fn indented(json: &str) -> Option<String> {
    let longest = MAX_INDENT_BYTES.max(json.len().saturating_mul(MAX_GROWTH));
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let (mut in_string, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    while let Some(char) = chars.next() {
        if depth > MAX_DEPTH || out.len() > longest {
            return None;
        }
        if in_string {
            out.push(char);
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        match char {
            '"' => {
                in_string = true;
                out.push(char);
            }
            '{' | '[' => {
                out.push(char);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            white if white.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    Some(out)
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&INDENT.repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_nothing_but_white_space_changes() {
        let body = r#"{"z":1e400, "a" : [ ] ,"n":{},"id":123456789012345678901,"t":"a\"{,:\\","l":[1,[2,{"k":null}]]}"#;
        insta::assert_snapshot!(ShownBody::from(body.as_bytes().to_vec()).text(), @r#"
        {
          "z": 1e400,
          "a": [],
          "n": {},
          "id": 123456789012345678901,
          "t": "a\"{,:\\",
          "l": [
            1,
            [
              2,
              {
                "k": null
              }
            ]
          ]
        }
        "#);
    }

    #[test]
    fn what_would_be_mostly_indent_stays_as_it_is() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(indented(&nested(MAX_DEPTH)).unwrap().lines().count(), 2 * MAX_DEPTH + 1);
        for deep in [nested(MAX_DEPTH + 1), nested(262_144)] {
            assert_eq!(ShownBody::Text(deep.clone()).text(), deep + "\n");
        }
        let long = nested(MAX_DEPTH).replace('1', &"1,".repeat(100_000)).replace(",]", "]");
        assert_eq!(ShownBody::Text(long.clone()).text(), long + "\n");
    }

    #[test]
    fn other_bodies_are_shown_as_far_as_a_terminal_bears_them() {
        let text = |body: &[u8]| ShownBody::from(body.to_vec()).text();
        assert_eq!(text(b""), "(empty)\n");
        assert_eq!(text(b"a=1\n\x1b[2Jb=2"), "a=1\n\\u{1b}[2Jb=2\n");
        assert_eq!(text(&[0xff, 0x00]), "(not text; --raw writes it as it is)\n");
        assert_eq!(text("{\"a\":\"\u{9b}2J\"}".as_bytes()), "{\n  \"a\": \"\\u{9b}2J\"\n}\n");
        assert_eq!(ShownBody::from(vec![0xff]), ShownBody::Base64("/w==".to_owned()));
    }

    #[test]
    fn what_sounds_like_a_secret_is_masked() {
        let names = ["Authorization", "x-api-key", "Cookie", "X-Hub-Signature-256", "x-topic", "x-auth-token"];
        let headers = names.iter().map(|name| ((*name).to_owned(), "value".to_owned())).collect();
        let shown: Vec<String> =
            masked(headers).into_iter().filter(|(_, value)| value != MASK).map(|(name, _)| name).collect();
        assert_eq!(shown, ["x-topic"]);
    }
}
