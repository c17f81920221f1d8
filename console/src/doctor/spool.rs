//! ingest's disk: whether webhooks can be kept on it, and what waits there.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use shared::config::{Config, SpoolConfig};
use shared::error_chain::error_chain;
use shared::spool::{self, Folder};

use super::command::DoctorArgs;
use super::finding::{Area, Findings};

const MIB: u64 = 1024 * 1024;
/// What others may read or write: nothing.
const OTHERS: u32 = 0o077;

/// Looks at the spool, which is on the machine of an ingest.
pub(super) async fn look(config: &Config, arguments: &DoctorArgs, found: &mut Findings) {
    if !config.spool.enabled {
        let problem = "it is turned off: while the broker is away, webhooks are answered 503";
        return found.warn("spool.enabled", problem, "enable it, on a disk that survives the container");
    }
    let root = arguments.spool_dir.clone().unwrap_or_else(|| config.spool.directory.clone());
    let limits = config.spool.clone();
    // A disk that hangs holds up a thread and nothing else.
    let looked = tokio::task::spawn_blocking(move || {
        let mut found = Findings::of(Area::Spool);
        examine(&root, &limits, &mut found);
        found
    });
    match looked.await {
        Ok(looked) => looked.into_list().into_iter().for_each(|finding| found.take(finding)),
        Err(error) => found.fail("all of it", error_chain(&error), "report this: it is a mistake of this command"),
    }
}

fn examine(root: &Path, limits: &SpoolConfig, found: &mut Findings) {
    let subject = root.display().to_string();
    if !root.is_dir() {
        return found.skip(subject, "there is no such directory here; run this where an ingest runs");
    }
    match spool::free_bytes(root) {
        Ok(free) => room(&subject, free, limits, found),
        Err(error) => found.fail(&subject, error_chain(&error), "look into the kernel's log for what the disk says"),
    }
    match spool::replicas(root) {
        Ok(replicas) if replicas.is_empty() => found.skip("files", "no ingest has used it yet"),
        Ok(replicas) => replicas.iter().for_each(|replica| one(replica, limits, found)),
        Err(error) => found.fail(subject, error_chain(&error), "let the user that ingest runs as own the directory"),
    }
}

fn room(subject: &str, free: u64, limits: &SpoolConfig, found: &mut Findings) {
    let SpoolConfig { max_bytes, min_free_bytes, .. } = limits;
    let says = format!("{} MiB are free", free / MIB);
    if free <= *min_free_bytes {
        let problem = format!("{says}, and spool.min_free_bytes keeps {} free: it takes nothing", min_free_bytes / MIB);
        found.fail(subject, problem, "free space on that disk, or give the spool one of its own");
    } else if free < min_free_bytes + max_bytes {
        let problem = format!("{says}: less than spool.max_bytes ({} MiB) beside what stays free", max_bytes / MIB);
        found.warn(subject, problem, "free space, or lower spool.max_bytes; an outage is bridged for less long");
    } else {
        found.ok(subject, format!("{says}, enough for spool.max_bytes ({} MiB)", max_bytes / MIB));
    }
}

/// One replica's directory. It is not locked: an ingest that starts now must find its own.
fn one(replica: &Path, limits: &SpoolConfig, found: &mut Findings) {
    let subject = replica.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match (replica.metadata(), held(replica, Folder::New), held(replica, Folder::Corrupt)) {
        (Ok(metadata), Ok(waiting), Ok(corrupt)) => {
            if metadata.mode() & OTHERS != 0 {
                let problem = format!("others may read it: its mode is {:o}", metadata.mode() & 0o777);
                found.warn(&subject, problem, format!("chmod 700 {}", replica.display()));
            }
            if corrupt.files > 0 {
                let mend = format!("look at them: oncehook spool verify --dir {}", parent(replica).display());
                found.fail(&subject, format!("{} damaged files", corrupt.files), mend);
            }
            let says = format!("{} files wait, {} MiB", waiting.files, waiting.bytes / MIB);
            if waiting.bytes * 2 > limits.max_bytes {
                found.warn(
                    &subject,
                    says,
                    "let the broker take messages again; beyond spool.max_bytes webhooks get 503",
                );
            } else {
                found.ok(&subject, says);
            }
        }
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            let mend = "run this as the user that ingest runs as, who owns the directory";
            found.fail(subject, error_chain(&error), mend);
        }
    }
}

struct Held {
    files: usize,
    bytes: u64,
}

fn held(replica: &Path, folder: Folder) -> io::Result<Held> {
    let files = spool::batches(&replica.join(folder.as_str()))?;
    Ok(Held { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() })
}

fn parent(replica: &Path) -> PathBuf {
    replica.parent().unwrap_or(replica).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use shared::spool::{BatchName, Replica};

    use super::*;

    #[test]
    fn a_disk_has_room_for_all_that_the_spool_may_hold_or_it_is_told() {
        let limits = SpoolConfig { max_bytes: 100 * MIB, min_free_bytes: 20 * MIB, ..SpoolConfig::default() };
        let told = |free| Findings::told_by(|found| room("/spool", free * MIB, &limits, found)).remove(0);
        assert_eq!(told(120), "ok /spool: 120 MiB are free, enough for spool.max_bytes (100 MiB)");
        assert!(told(119).starts_with("warning /spool: 119 MiB are free: less than spool.max_bytes"), "{}", told(119));
        assert!(told(20).starts_with("failure /spool: 20 MiB are free, and spool.min_free_bytes keeps 20 free"));
    }

    #[test]
    fn what_waits_is_damaged_or_open_to_others_is_told_by_the_replica() {
        let root = std::env::temp_dir().join(format!("oncehook-doctor-{}", uuid::Uuid::new_v4()));
        let limits = SpoolConfig { max_bytes: 100, ..SpoolConfig::default() };
        let told = || Findings::told_by(|found| examine(&root, &limits, found))[1..].to_vec();
        fs::create_dir(&root).unwrap();
        assert_eq!(told(), ["skipped files: no ingest has used it yet"]);

        let replica = Replica::claim(&root).unwrap();
        let leave = |folder, name: BatchName, bytes| {
            fs::write(replica.folder(folder).join(name.to_string()), vec![0; bytes]).unwrap();
        };
        let first = BatchName::default().next(time::OffsetDateTime::UNIX_EPOCH);
        leave(Folder::New, first, 50);
        assert_eq!(told(), ["ok replica-000: 1 files wait, 0 MiB"], "half of what it may hold");

        leave(Folder::New, first.next(time::OffsetDateTime::UNIX_EPOCH), 1);
        leave(Folder::Corrupt, first, 1);
        fs::set_permissions(replica.path(), Permissions::from_mode(0o750)).unwrap();
        assert_eq!(
            told(),
            [
                "warning replica-000: others may read it: its mode is 750",
                "failure replica-000: 1 damaged files",
                "warning replica-000: 2 files wait, 0 MiB"
            ]
        );
        fs::remove_dir_all(root).unwrap();
    }
}
