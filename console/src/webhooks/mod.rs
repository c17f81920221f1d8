//! `oncehook webhooks`: finds webhooks, and tells the story of one; what it finds, the console's pages show.
//!
//! [`command`] holds the arguments and prints; the other modules return what they found, and print nothing.
//! Not promised: what is still on its way (in a queue, in a spool) and has not failed yet is not in the database, and is
//! not found; [`waiting`] counts it, for who finds nothing.

pub(crate) mod command;
pub(crate) mod entry;
pub(crate) mod search;
pub(crate) mod waiting;
pub(crate) mod walk;

mod known;
mod list;
mod show;
mod timeline;

pub(crate) use known::Known;
pub(crate) use timeline::{Moment, again, timeline};
