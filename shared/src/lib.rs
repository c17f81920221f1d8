//! What the services of Oncehook share: configuration, providers and verification, the message on
//! the queue, the broker connection, planning, and every SQL statement.
//!
//! `ingest`, `worker` and `console` depend on this crate and never on each other.

pub mod address;
pub mod amqp;
pub mod backoff;
pub mod config;
pub mod crypto;
pub mod db;
mod environment;
pub mod error_chain;
pub mod failpoint;
pub mod message;
pub mod metrics;
pub mod ops;
pub mod plan;
pub mod shutdown;
pub mod smtp;
pub mod spool;
pub mod telemetry;
pub mod tls;
pub mod trace_context;
pub mod traces;

pub use webhook::{name, provider, verification};
