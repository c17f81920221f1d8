//! Logs: for a person on a terminal, JSON lines otherwise.
//!
//! The dotted field names `webhook.source`, `webhook.id`, `webhook.topic`, `attempt`, `effect` are
//! the same in every service, so one webhook can be followed by its id; and `trace_id` stands wherever a webhook is
//! named. Never logged: bodies, secrets, signatures.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info,actix_server=warn,refinery_core=warn";
/// Who says nothing unless `RUST_LOG` names them. lapin logs as errors what our supervisor handles and logs with its
/// cause, and in warnings whole messages, bodies included. The HTTP server logs an error for every malformed head:
/// strangers could fill a disk.
const SILENT: [&str; 2] = ["lapin", "actix_http"];

/// Sets up logging to standard error; `RUST_LOG` filters, as in `RUST_LOG=debug`.
pub fn init() {
    // Compose passes an unset variable on as an empty one.
    let directives = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let mut directives = directives.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    for target in SILENT {
        if !directives.contains(target) {
            directives.push_str(&format!(",{target}=off"));
        }
    }
    let filter = EnvFilter::new(directives);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}
