//! ingest's spool on disk: the files in it and the directories they lie in.
//!
//! Here is what ingest and `oncehook spool` must agree on: the form of a record (`record`), of a batch file
//! ([`Batch`]), their names, the layout ([`Replica`]), and the order of steps in which a file is written, and in which
//! it goes when it was published ([`Store`]). When that happens is theirs to decide.
//!
//! ```text
//! SPOOL/replica-000/lock       held for as long as an ingest uses the directory
//!                  /tmp/       being written; of no value after a crash
//!                  /new/       durable and answered 2xx; waits to be published
//!                  /corrupt/   damaged, or never to be published; waits for a person
//! ```
//!
//! Invariant: bytes that were altered or cut off are noticed, and whatever they say, reading them neither panics
//! nor allocates more than they are long. Not promised: protection against someone who may write to the
//! directory. A CRC finds accidents, not forgers; the directory is its owner's alone (mode 0700).

mod batch;
mod directory;
mod disk;
mod name;
mod record;
mod store;
mod trouble;

#[cfg(test)]
mod tests;

pub use self::batch::{Batch, BatchBuilder, Damage, MAX_BATCH_BYTES, MAX_RECORD_BYTES};
pub use self::directory::{BatchFile, DirectoryError, Folder, Replica, batches, replicas, waiting_files};
pub use self::disk::{Disk, free_bytes};
pub use self::name::BatchName;
pub use self::record::RecordError;
pub use self::store::{Holdings, Limits, Settlement, Store, StoreError};
pub use self::trouble::{Deferral, Progress};
