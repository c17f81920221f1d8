//! The command line `oncehook`: sees and steers an installation.
//!
//! One module a command, each of which gathers what it shows as data ([`output::Shown`]) and never
//! prints; [`output`] turns it into a table or JSON.

pub mod cli;

mod connect;
mod inventory;
mod output;
mod parked;
mod replay;
mod settings;
mod spool;
mod spool_gauges;
mod status;
mod steering;

pub use cli::{Cli, run};
