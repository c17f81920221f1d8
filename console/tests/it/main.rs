//! The command `oncehook` on real services. One program for all of its tests: it links once.

#[cfg(test)]
mod add_provider;
#[cfg(test)]
mod inventory;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod races;
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
mod verify;
