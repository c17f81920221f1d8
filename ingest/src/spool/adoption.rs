//! The spools of ingests that are gone: found by their free locks, locked, and kept for as long as something is in them.
//!
//! A spool stays locked while files of it are put off, so that what is known of them is not forgotten. Not promised:
//! that a sibling with a healthier view of the disk gets them before this ingest ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::error_chain::error_chain;
use shared::spool::{DirectoryError, Limits, Replica, Store};

/// The spools that this ingest looks after beside its own.
pub(super) struct Adoption {
    /// Where all replicas' directories are.
    root: PathBuf,
    limits: Limits,
    stores: Vec<Arc<Store<Replica>>>,
}

impl Adoption {
    pub(super) fn new(root: PathBuf, limits: Limits) -> Self {
        Self { root, limits, stores: Vec::new() }
    }

    /// Those that were found last and are not empty yet.
    pub(super) fn stores(&self) -> &[Arc<Store<Replica>>] {
        &self.stores
    }

    /// Files of theirs that were put off.
    pub(super) fn deferred_files(&self) -> i64 {
        let files = self.stores.iter().map(|store| store.holdings().deferred_files).sum::<u64>();
        i64::try_from(files).unwrap_or(i64::MAX)
    }

    /// Lets go of what is empty, and looks for more.
    pub(super) async fn look(&mut self) {
        self.stores.retain(|store| store.holdings().files > 0);
        let (root, limits) = (self.root.clone(), self.limits);
        match tokio::task::spawn_blocking(move || adopt(&root, limits)).await {
            Ok(Ok(found)) => self.stores.extend(found),
            Ok(Err(error)) => tracing::error!(error = error_chain(&error), "cannot look for orphaned spools"),
            Err(ended) => tracing::error!(error = %ended, "cannot look for orphaned spools"),
        }
    }
}

fn adopt(root: &Path, limits: Limits) -> Result<Vec<Arc<Store<Replica>>>, DirectoryError> {
    let mut stores = Vec::new();
    for replica in Replica::orphans(root)? {
        let path = replica.path().display().to_string();
        match Store::open(replica, limits) {
            Ok(store) if store.oldest().is_some() => {
                tracing::info!(directory = path, "adopting an orphaned spool");
                stores.push(Arc::new(store));
            }
            Ok(_empty) => {}
            Err(error) => tracing::error!(directory = path, error = error_chain(&error), "cannot adopt a spool"),
        }
    }
    Ok(stores)
}
