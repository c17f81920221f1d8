//! What a webhook is before it is a message: the rules of its provider, and whether it is genuine.
//!
//! A crate of its own, because it knows neither AMQP nor HTTP nor SQL and does no I/O but reading provider files. So the
//! compiler holds the boundary that hostile input meets first, and a fuzzer builds it in a minute instead of building a
//! broker's client. Its dependants see it as modules of `shared`.
//!
//! It does not promise that a webhook is new: that is for the claims.

pub mod hash;
pub mod name;
pub mod provider;
pub mod verification;

#[cfg(test)]
mod published;
