//! The command `oncehook` on real services. One program for all of its tests: it links once.

#[cfg(test)]
mod add_provider;
#[cfg(test)]
mod colours;
#[cfg(test)]
mod console;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod inventory;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod purge;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod races;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod send;
#[cfg(test)]
mod spool;
#[cfg(test)]
mod status;
#[cfg(test)]
mod top;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod webhooks;
