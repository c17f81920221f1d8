//! The worker: takes webhooks from the queue and makes each take effect once.
//!
//! A batch's walk: [`consumer`] takes what has arrived, [`pipeline`] plans it ([`planning`]),
//! commits it in one transaction ([`transaction`], halved by [`splitter`] when a webhook spoils
//! it), writes down what failed ([`settlement`]), and the consumer acknowledges. Effects that
//! leave the database are sent by [`dispatch`]; [`maintenance`] keeps partitions and retention.
//!
//! What is decided on the way is decided without I/O: [`batcher`], [`lane`], [`course`], [`splitter`],
//! [`ladder`], [`rules`]. The simulation runs these through crashes, duplicates and lost words.

mod application;
mod backlog;
mod batch;
mod batcher;
mod bundles;
mod connections;
mod consumer;
mod course;
mod dispatch;
mod error;
mod in_hand;
mod ladder;
mod lane;
mod maintenance;
mod metrics;
mod moves;
mod panics;
mod pipeline;
mod planning;
mod receipt;
mod replays;
mod rules;
mod scatter;
mod settings;
mod settlement;
mod spans;
mod splitter;
mod transaction;

#[cfg(test)]
mod simulation;

pub use application::{Application, migrate_only};
pub use dispatch::HttpEffectError;
pub use error::WorkerError;
pub use settings::Settings;
