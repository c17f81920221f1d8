//! `oncehook console`: the pages, and the same as a JSON API.
//!
//! What is asked and done is in one module a part of the console ([`overview`], [`webhooks`], [`parked`], [`outbox`],
//! [`inventory`], [`sources`]); each has a `page` and an `api` that call the same functions. [`access`] says who may, [`jobs`]
//! does what takes longer than an answer, [`monitor`] watches the services.
//!
//! Invariant: nothing is changed but by an operator, and nothing that an operator changes is missing in the audit.
//! Steering is the command line's own ([`crate::parked`], [`crate::replay`]): there is one way to redrive.

pub(crate) mod command;
pub(crate) mod monitor;
pub(crate) mod overview;

mod access;
mod api;
mod application;
mod assets;
mod audit;
mod description;
mod inventory;
mod jobs;
mod metrics;
mod outbox;
mod outward;
mod page;
mod parked;
mod problem;
mod sources;
mod state;
mod webhooks;
mod when;

pub(crate) use self::application::CONNECTIONS_BESIDE_JOBS;
