//! The worker's promises, shown on real services with real processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic"
)]

mod broker;
mod calls;
mod databases;
mod kills;
mod laws;
mod mails;
mod once;
mod outages;
mod poison;
mod scene;
mod secrets;
