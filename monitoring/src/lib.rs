//! Nothing to call: this crate exists for its tests. They run ingest, a worker and a private Prometheus, and hold
//! `docs/metrics.md`, the rules and the dashboard of `deploy/`, and `docs/runbooks.md` against what is really said.
