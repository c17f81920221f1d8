//! Logs: for a person on a terminal, JSON lines otherwise.
//!
//! The dotted field names `webhook.source`, `webhook.id`, `webhook.topic`, `attempt`, `effect` are
//! the same in every service, so one webhook can be followed by its id; and `trace_id` stands wherever a webhook is
//! named. Never logged: bodies, secrets, signatures.

mod writer;

use std::io::IsTerminal;
use std::num::NonZeroUsize;

pub(crate) use self::writer::DroppedLines;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info,actix_server=warn,refinery_core=warn";
/// Who says nothing unless `RUST_LOG` names them. lapin logs as errors what our supervisor handles and logs with its
/// cause, and in warnings whole messages, bodies included. The HTTP server logs an error for every malformed head:
/// strangers could fill a disk.
const SILENT: [&str; 2] = ["lapin", "actix_http"];

/// Sets up logging to standard error; `RUST_LOG` filters by level and target, as in `RUST_LOG=info,worker=debug`. Whoever
/// logs waits for no reader: up to `LOG_BUFFER_LINES` lines wait to be written, and [`finish`] writes the last of them.
pub fn init() {
    let directives = given("RUST_LOG");
    let wanted = directives.as_deref().map(filter);
    let targets = match &wanted {
        Some(Ok(targets)) => targets.clone(),
        // The default can always be read; a test sees to it.
        None | Some(Err(_)) => filter(DEFAULT_FILTER).unwrap_or_default(),
    };
    let lines = given("LOG_BUFFER_LINES").map(|lines| lines.parse::<NonZeroUsize>().map_err(|error| (lines, error)));
    let limit = match &lines {
        Some(Ok(lines)) => lines.get(),
        None | Some(Err(_)) => writer::BUFFERED_LINES,
    };
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
    if let Some(Err((lines, error))) = lines {
        tracing::warn!(%error, "LOG_BUFFER_LINES={lines} is no number of lines, and {limit} taken instead");
    }
}

/// Writes the lines that still wait, for a second; nothing is logged after it. To be called before the process ends.
pub fn finish() {
    writer::finish();
}

/// A variable of the environment. Compose passes an unset one on as an empty one.
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
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
    fn whoever_is_named_may_speak_and_what_is_not_understood_is_told() {
        let named = filter("warn,lapin=debug,ingest=trace").unwrap();
        assert!(named.would_enable("lapin", &Level::DEBUG) && named.would_enable("ingest::body", &Level::TRACE));
        assert!(!named.would_enable("worker", &Level::INFO) && !named.would_enable("actix_http", &Level::ERROR));
        assert!(filter("worker=loud").is_err());
    }
}
