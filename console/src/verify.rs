//! `oncehook verify`: why a request of a source passes or not, step by step. Asks nobody; needs the source's secrets.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use shared::config::{Config, Verification};
use shared::error_chain::error_chain;
use shared::verification::{Headers, Incoming, Step, Verifier};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output::{Shown, table};
use crate::settings::Settings;

/// A request to be looked at.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The source that it was sent to.
    #[arg(long)]
    source: String,
    /// A file with its headers, a line each ("Name: value"); a request line before them gives the query.
    #[arg(long)]
    headers: PathBuf,
    /// A file with its raw body, byte for byte.
    #[arg(long)]
    body: PathBuf,
    /// When it was received: RFC 3339, or seconds since 1970. Now, if it is not given.
    #[arg(long)]
    at: Option<String>,
}

/// What was looked at, and the verdict.
#[derive(Serialize)]
pub(crate) struct Verdict {
    genuine: bool,
    /// The reason that ingest logs and counts; `null` if it is genuine.
    reason: Option<&'static str>,
    steps: Vec<ShownStep>,
    /// How the webhook is called; `null` where it has no usable name.
    id: Option<String>,
    topic: Option<String>,
}

#[derive(Serialize)]
struct ShownStep {
    what: &'static str,
    expected: String,
    found: String,
    fine: bool,
}

impl Verdict {
    /// Whether the request is genuine and has a name.
    pub(crate) fn is_fine(&self) -> bool {
        self.genuine && self.id.is_some()
    }
}

pub(crate) fn verify(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<Verdict> {
    let config = Config::load(&settings.config)?;
    let catalogue = config.catalogue()?;
    let source = config.sources.get(args.source.as_str());
    let source =
        source.with_context(|| format!("there is no source {} in {}", args.source, settings.config.display()))?;
    let provider = catalogue.get(source.provider.as_str()).context("its provider is gone")?;
    let verifier = if source.verification == Some(Verification::None) {
        Verifier::unchecked()
    } else {
        let credentials = source.credentials().map_err(|errors| {
            anyhow::anyhow!(errors.iter().map(|error| error_chain(error)).collect::<Vec<_>>().join("; "))
        })?;
        Verifier::new(provider, credentials)?
    };
    let head = read(&args.headers)?;
    let (query, pairs) = parse_head(&head)?;
    let headers: Headers<'_> = pairs.into_iter().collect();
    let body = read(&args.body)?;
    let request = Incoming { headers: &headers, query, body: &body, received_at: time(args.at.as_deref())? };
    let explanation = verifier.explain(request);
    let identity = provider.identify(&headers, &body);
    let mut steps: Vec<ShownStep> = explanation.steps.into_iter().map(ShownStep::from).collect();
    steps.push(ShownStep {
        what: "name",
        expected: "an id and a topic".to_owned(),
        found: match &identity {
            Ok(identity) => format!("{} / {}", identity.topic, identity.id),
            Err(error) => error.to_string(),
        },
        fine: identity.is_ok(),
    });
    let (id, topic) = identity.map_or((None, None), |identity| (Some(identity.id), Some(identity.topic)));
    let reason = explanation.verdict.as_ref().err().map(shared::verification::Refusal::code);
    Ok(Verdict { genuine: explanation.verdict.is_ok(), reason, steps, id, topic })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The query of the request line, and the headers.
type Head<'h> = (Option<&'h str>, Vec<(&'h str, &'h [u8])>);

fn parse_head(head: &[u8]) -> anyhow::Result<Head<'_>> {
    let (mut query, mut pairs) = (None, Vec::new());
    for (number, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let request_line = number == 0 && line.starts_with(b"POST ");
        if request_line {
            let target = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1));
            query = target.and_then(|target| target.split_once('?')).map(|(_, query)| query);
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .and_then(|colon| line.split_at_checked(colon))
            .with_context(|| format!("line {} of the headers is not \"Name: value\"", number + 1))?;
        let name = std::str::from_utf8(name).context("a header's name is not text")?;
        pairs.push((name.trim(), value.strip_prefix(b":").unwrap_or(value)));
    }
    Ok((query, pairs))
}

fn time(text: Option<&str>) -> anyhow::Result<OffsetDateTime> {
    let Some(text) = text else { return Ok(OffsetDateTime::now_utc()) };
    if let Ok(seconds) = text.parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp(seconds).context("--at is out of range");
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .with_context(|| format!("--at {text} is neither RFC 3339 nor seconds since 1970"))
}

impl From<Step> for ShownStep {
    fn from(step: Step) -> Self {
        Self { what: step.what, expected: step.expected, found: step.found, fine: step.fine }
    }
}

impl Shown for Verdict {
    fn text(&self) -> String {
        let mark = |step: &ShownStep| if step.fine { "ok" } else { "NO" }.to_owned();
        let row = |step: &ShownStep| [mark(step), step.what.to_owned(), step.expected.clone(), step.found.clone()];
        let verdict = match (self.reason, &self.id) {
            (Some(reason), _) => format!("refused: {reason}"),
            (None, Some(_)) => "genuine".to_owned(),
            (None, None) => "genuine, and refused: it has no usable name".to_owned(),
        };
        format!("{}\n{verdict}\n", table(["", "WHAT", "EXPECTED", "FOUND"], self.steps.iter().map(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_with_and_without_its_request_line() {
        let (query, pairs) = parse_head(b"POST /webhooks/twilio?a=1&b HTTP/1.1\r\nX-A:  b:c \r\n\r\n").unwrap();
        assert_eq!((query, &pairs[..]), (Some("a=1&b"), &[("X-A", &b"  b:c "[..])][..]));
        assert_eq!(parse_head(b"x-a: 1\nX-B:2").unwrap().1.len(), 2);
        assert!(parse_head(b"no colon").is_err());
    }
}
