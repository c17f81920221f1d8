//! `oncehook top`: what goes on now, second by second, what is wrong first.
//!
//! [`snapshot`] looks, at what flows by [`traffic`], and [`screen`] draws. What does not answer is a line among what is wrong, and ends nothing: whoever
//! looks on while a service comes back wants to see just that.

pub(crate) mod command;

mod screen;
mod snapshot;
mod traffic;
