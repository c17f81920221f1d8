//! Logs: for a person on a terminal, JSON lines otherwise.
//!
//! The dotted field names `webhook.source`, `webhook.id`, `webhook.topic`, `attempt`, `effect` are
//! the same in every service, so one webhook can be followed by its id; and `trace_id` stands wherever a webhook is
//! named. Never logged: bodies, secrets, signatures.

mod writer;

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

pub(crate) use self::writer::DroppedLines;
use crate::environment::variable;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info,actix_server=warn,refinery_core=warn";
/// Who says nothing unless `RUST_LOG` names them. lapin logs as errors what our supervisor handles and logs with its
/// cause, and in warnings whole messages, bodies included. The HTTP server logs an error for every malformed head:
/// strangers could fill a disk.
const SILENT: [&str; 2] = ["lapin", "actix_http"];

/// Sets up logging to standard error; `RUST_LOG` filters by level and target, as in `RUST_LOG=info,worker=debug`. Whoever
/// logs waits for no reader: up to `LOG_BUFFER_LINES` lines wait to be written.
pub fn init() -> Logs {
    let directives = variable("RUST_LOG");
    let wanted = directives.as_deref().map(filter);
    let targets = match &wanted {
        Some(Ok(targets)) => targets.clone(),
        // The default can always be read; a test sees to it.
        None | Some(Err(_)) => filter(DEFAULT_FILTER).unwrap_or_default(),
    };
    let asked = variable("LOG_BUFFER_LINES");
    let lines = asked.as_deref().map(buffer_lines);
    let limit = lines.flatten().unwrap_or(writer::BUFFERED_LINES);
    let logs = fmt::layer().with_writer(writer::start(limit));
    if std::io::stderr().is_terminal() {
        tracing_subscriber::registry().with(targets).with(logs).init();
    } else {
        let logs = logs.json().flatten_event(true).with_current_span(true).with_span_list(false);
        tracing_subscriber::registry().with(targets).with(logs).init();
    }
    if let Some(Err(error)) = wanted {
        tracing::warn!(%error, "RUST_LOG is not understood, and {DEFAULT_FILTER} taken instead");
    }
    if let (Some(asked), Some(None)) = (asked, lines) {
        tracing::warn!(
            "LOG_BUFFER_LINES={asked} is no number from 1 to {}, and {limit} taken instead",
            writer::MOST_LINES
        );
    }
    Logs(())
}

/// How many lines a text says, if so many can be kept.
fn buffer_lines(text: &str) -> Option<usize> {
    text.parse().ok().filter(|lines| (1..=writer::MOST_LINES).contains(lines))
}

/// Logging, while it is kept: when it is dropped, the lines that still wait are written, for a second, and none after them.
#[must_use]
#[derive(Debug)]
pub struct Logs(());

impl Drop for Logs {
    fn drop(&mut self) {
        finish();
    }
}

/// Writes the lines that still wait, for a second; nothing is logged after it. For who ends the process on the spot.
pub fn finish() {
    writer::finish();
}

/// What these directives let through.
fn filter(directives: &str) -> Result<Targets, ParseError> {
    let targets: Targets = directives.parse()?;
    let silent = SILENT.into_iter().filter(|target| !directives.contains(target));
    Ok(silent.fold(targets, |targets, target| targets.with_target(target, LevelFilter::OFF)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_default_is_info_and_leaves_out_who_says_too_much() {
        let default = filter(DEFAULT_FILTER).unwrap();
        assert!(default.would_enable("worker::lane", &Level::INFO) && !default.would_enable("worker", &Level::DEBUG));
        assert!(!default.would_enable("lapin::channel", &Level::ERROR));
        assert!(!default.would_enable("actix_server::builder", &Level::INFO));
    }

    #[test]
    fn a_buffer_has_a_line_and_no_more_than_a_million() {
        assert_eq!(["1", "1000000"].map(buffer_lines), [Some(1), Some(1_000_000)]);
        assert_eq!(["0", "1000001", "-1", "many", "99999999999999999999"].map(buffer_lines), [None; 5]);
    }

    #[test]
    fn whoever_is_named_may_speak_and_what_is_not_understood_is_told() {
        let named = filter("warn,lapin=debug,ingest=trace").unwrap();
        assert!(named.would_enable("lapin", &Level::DEBUG) && named.would_enable("ingest::body", &Level::TRACE));
        assert!(!named.would_enable("worker", &Level::INFO) && !named.would_enable("actix_http", &Level::ERROR));
        assert!(filter("worker=loud").is_err());
    }
}
