//! Logs: for a person on a terminal, JSON lines otherwise.
//!
//! The dotted field names `webhook.source`, `webhook.id`, `webhook.topic`, `attempt`, `effect` are
//! the same in every service, so one webhook can be followed by its id. Never logged: bodies,
//! secrets, signatures.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing. lapin logs as errors what our supervisor handles
/// and logs with its cause, and what every clean end of a connection brings about.
const DEFAULT_FILTER: &str = "info,lapin=off,actix_server=warn,refinery_core=warn";

/// Sets up logging to standard error; `RUST_LOG` filters, as in `RUST_LOG=debug`.
pub fn init() {
    // Compose passes an unset variable on as an empty one.
    let directives = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let directives = match directives {
        // lapin's own warnings show whole messages, bodies included.
        Some(directives) if !directives.contains("lapin") => format!("{directives},lapin=off"),
        Some(directives) => directives,
        None => DEFAULT_FILTER.to_owned(),
    };
    let filter = EnvFilter::new(directives);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}
