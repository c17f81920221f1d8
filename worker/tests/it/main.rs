//! The worker's promises, shown on real services with real processes.

mod databases;
mod kills;
mod laws;
mod mails;
mod once;
mod outages;
mod poison;
mod scene;
