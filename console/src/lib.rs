//! The command line `oncehook`, and the console that it serves: both see and steer an installation.
//!
//! One module a group of commands, whose functions return what they found or did as data ([`output::Shown`]) and never
//! print; [`output`] turns it into a table or JSON. Where a group is a folder, its `command` holds the arguments.
//! What acts on many webhooks shares [`steering`]: consent, pace, a publisher, a report.
//! [`server`] shows and does the same by HTTP.

pub mod cli;

mod connect;
mod doctor;
mod exit_codes;
mod inventory;
mod outbox;
mod output;
mod paging;
mod parked;
mod providers;
mod purge;
mod queues;
mod replay;
mod send;
mod server;
mod settings;
mod sources;
mod spool;
mod spool_gauges;
mod status;
mod steering;
mod top;
mod verify;
mod webhooks;

pub use cli::{Cli, run};
