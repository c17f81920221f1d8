//! Ingest: the HTTP side of Oncehook.
//!
//! `POST /webhooks/{source}`: read the raw body, verify it, publish it with a confirm, answer 200. A 2xx means
//! that a quorum queue has the webhook, or, while the broker takes nothing, ingest's own disk. Ingest knows no
//! database and interprets no webhook beyond its id and topic; a slow worker never slows an answer.
//!
//! The way of one request is `receive.rs`, read from top to bottom. What each step may answer is `refused.rs`.

mod answer;
mod application;
mod body;
mod breaker;
mod certificates;
mod connections;
mod durable;
mod log_budget;
mod metrics;
mod observation;
mod open_files;
mod outcome;
mod problem;
mod readiness;
mod receive;
mod refused;
mod room;
mod settings;
mod sources;
mod spool;
mod standing;
mod subscription;
mod trace;

pub use application::{Application, BuildError, RunError};
pub use problem::PROBLEM_TYPE_PREFIX;
pub use settings::Settings;
pub use sources::SourcesError;
pub use spool::SpoolError;
