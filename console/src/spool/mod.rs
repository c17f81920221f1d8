//! `oncehook spool`: what ingest keeps on its disk, and a way to the queue for what an ingest left there for good.

pub(crate) mod command;

mod drain;
mod files;
