//! The system's limit on open files, raised as far as it goes: each connection takes two.
//!
//! Many systems allow a process 1,024 at first and far more if it asks. Without them, connections would
//! wait that the configuration allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shared::config::IngestConfig;

/// Raises the soft limit to the hard one, and warns if that is too low for the configured connections.
pub(crate) fn raise(limits: &IngestConfig) {
    let wanted = limits.open_files();
    match allow(wanted) {
        Ok(allowed) if allowed < wanted => warn(allowed, wanted, limits.max_connections),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot tell how many files may be open"),
    }
}

fn allow(wanted: u64) -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    let raised = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard)?;
    Ok(raised)
}

fn warn(allowed: u64, wanted: u64, max_connections: u32) {
    tracing::warn!(
        allowed,
        wanted,
        max_connections,
        "the system allows too few open files for ingest.max_connections; raise `ulimit -n`"
    );
}
