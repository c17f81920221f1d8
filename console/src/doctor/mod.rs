//! `oncehook doctor`: looks at everything that an installation needs, and says how to mend what is wrong.
//!
//! One module an area; each returns [`finding::Findings`] and prints nothing. All look at once, each within a deadline of its
//! own, so that what does not answer holds up nothing else. Nothing is changed: no queue is made, no mail is sent, no
//! service is called. Not promised: what holds for another process. The doctor has the environment, the disk and the
//! network of where it runs; run it where ingest or a worker runs to know what they see.
//!
//! Invariant: no finding holds a secret, nor an address that may hold one.

pub(crate) mod command;

mod broker;
mod calls;
mod clock;
mod configuration;
mod database;
mod examination;
mod finding;
mod limits;
mod mail;
mod report;
mod secrets;
mod services;
mod spool;
