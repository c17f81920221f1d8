//! `oncehook outbox`: effects that wait to be sent, and those that a person must decide on.
//!
//! [`arguments`] are read and [`command`] prints; the other modules return what they did, and print nothing.
//!
//! Invariant: what a worker is sending, and what was sent, is left alone. What somebody else changed since it was looked
//! at is, too.

pub(crate) mod arguments;
pub(crate) mod command;
pub(crate) mod destinations;

pub(crate) mod list;
pub(crate) mod steer;

mod pause;
