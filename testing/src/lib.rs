//! The harness of the integration tests.
//!
//! Every test runs against real Postgres, RabbitMQ and SMTP, with a database (copied from a
//! migrated template) and a queue prefix of its own, so tests run side by side. [`run`] always
//! cleans up and passes a panic on. A missing service is a failure with a hint, never a skip.

pub mod authority;
pub mod black_hole;
pub mod gate;
pub mod http_sink;
pub mod https;
pub mod mail;
pub mod marker;
pub mod orders;
pub mod otlp_sink;
pub mod outbox;
pub mod process;
pub mod provider_keys;
pub mod rabbitmq;
pub mod services;
pub mod simulation;
pub mod state;
pub mod wait;

mod database;
mod stack;

pub use database::Database;
pub use stack::{Stack, replace, run};
