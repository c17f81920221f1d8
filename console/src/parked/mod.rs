//! `oncehook parked`: look at parked webhooks, put them back, give them up.
//!
//! [`arguments`] are read and [`command`] prints; the other modules return what they did, and print nothing.
//!
//! Invariant: what is redriven is in the table, open, until a worker has claimed it, wherever this is cut off. What
//! is done to a webhook that somebody else changed since it was looked at is: nothing.

pub(crate) mod arguments;
pub(crate) mod command;

pub(crate) mod body;
pub(crate) mod discard;
pub(crate) mod list;
pub(crate) mod mend;
pub(crate) mod redrive;
pub(crate) mod selection;
mod show;
pub(crate) mod ticket;
