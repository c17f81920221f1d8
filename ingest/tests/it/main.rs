//! Ingest as a whole, over HTTP, on a real broker. One program for all of them: it links once.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod alarms;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod broker;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod message;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod service;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod spool;
