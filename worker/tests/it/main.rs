//! The worker's promises, shown on real services with real processes. One program for all of them: it links once.

#[cfg(test)]
mod attempts;
#[cfg(test)]
mod backlog;
#[cfg(test)]
mod breakers;
#[cfg(test)]
mod broker;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod mails;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod once;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod secrets;
