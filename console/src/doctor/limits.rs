//! What this machine allows a process: open files, of which an ingest needs many.

use nix::sys::resource::{Resource, getrlimit};
use shared::config::{Config, IngestConfig};

use super::finding::Findings;

/// Compares what may be open with what `ingest.max_connections` needs.
pub(super) async fn look(config: &Config, found: &mut Findings) {
    let needed = config.ingest.open_files();
    match getrlimit(Resource::RLIMIT_NOFILE) {
        // ingest raises the soft limit itself.
        Ok((_soft, hard)) if hard >= needed => {
            found.ok("open files", format!("a process may have {hard}, and an ingest needs {needed}"));
        }
        Ok((_soft, hard)) => {
            let connections = IngestConfig::connections_within(hard);
            let problem = format!("a process may have {hard}, and an ingest needs {needed}");
            let mend =
                format!("raise `ulimit -Hn` (LimitNOFILE, ulimits), or lower ingest.max_connections to {connections}");
            found.warn("open files", problem, mend);
        }
        Err(error) => found.skip("open files", error.to_string()),
    }
}
