//! `oncehook replay`: a processed webhook runs again on purpose, from its stored body.
//!
//! A replay belongs to a run, which has a name, and is claimed under an id that is made from the first one's id and
//! that name: one webhook runs once in a run, however often its message arrives or the command is said again. Nothing
//! is written down before it is published; what the run has done is what was claimed under its name.
//!
//! Invariant: stock is never taken twice, since the ledger's keys are the orders' own. Mails and calls go out again
//! only when it is said, and then once in a run.

pub(crate) mod command;

pub(crate) mod run;
