//! The spool on disks that fill and disks that break, while the broker is away: 503, never a 2xx for what is not
//! kept, and 200 again when the disk is well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Broker, Ingest, Program, Webhook, by_way_of, free_address, run_on_at, spool_dir, until};
use rstest::rstest;
use testing::gate::Gate;

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

/// A disk of its own for a test's spool, in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `options` as `mount` takes them: its size, its number of files.
    fn mount(broker: &Broker, options: &str) -> Self {
        let place = spool_dir(&broker.prefix);
        fs::create_dir_all(&place).unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &place);
        Self(place)
    }

    fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let gone = unmounted.is_ok_and(|status| status.success());
        assert!(gone || std::thread::panicking(), "{} is still mounted", self.0.display());
    }
}

fn mount(arguments: &[&str], place: &Path) {
    let output = Command::new("mount").args(arguments).arg(place).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cannot mount a tmpfs (the tests run as root, in a container with --privileged): {said}"
    );
}

async fn accepted(ingest: &Ingest, id: &str) {
    assert_eq!(ingest.send(&webhook(id).request()).await.status, 200, "{id}");
}

async fn refused(ingest: &Ingest, id: &str) {
    let answer = ingest.send(&webhook(id).request()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{id}");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(ingest.ops("/readyz").await.status, 503);
}

/// The broker comes: these webhooks, and no others, are on the queue.
async fn drained(ingest: &Ingest, gate: (std::net::SocketAddr, String), ids: &[&str]) {
    let _gate = Gate::at(gate.0, gate.1).await;
    ingest.ready().await;
    let mut found = BTreeSet::new();
    for _ in ids {
        found.insert(ingest.broker.take().await.id);
    }
    assert_eq!(found, ids.iter().map(|id| (*id).to_owned()).collect());
    ingest.counted("webhook_spool_files 0").await;
    assert!(ingest.broker.is_empty().await);
}

#[tokio::test]
async fn a_disk_that_somebody_else_fills_is_503_until_there_is_room() {
    let broker = Broker::connect().await;
    let disk = Disk::mount(&broker, "size=4m");
    let (address, ballast) = (free_address(), disk.0.join("ballast"));
    let (url, target) = by_way_of(address);
    run_on_at(broker, &url, "[spool]\nmin_free_bytes = 1048576\n", async |ingest| {
        accepted(ingest, "before").await;
        fs::write(&ballast, vec![b'x'; 3 << 20]).unwrap();
        refused(ingest, "full").await;
        fs::remove_file(&ballast).unwrap();
        accepted(ingest, "after").await;
        drained(ingest, (address, target), &["before", "after"]).await;
    })
    .await;
}

/// The file system itself says that it is full, when a file is to be made.
#[tokio::test]
async fn a_disk_without_room_for_another_file_is_503_until_there_is() {
    let broker = Broker::connect().await;
    let disk = Disk::mount(&broker, "size=4m,nr_inodes=9");
    let address = free_address();
    let (url, target) = by_way_of(address);
    run_on_at(broker, &url, "[spool]\nmin_free_bytes = 0\n", async |ingest| {
        let mut kept = vec!["1"];
        accepted(ingest, "1").await;
        for id in ["2", "3", "4", "5", "6", "7", "8"] {
            match ingest.send(&webhook(id).request()).await.status {
                200 => kept.push(id),
                _ => break,
            }
        }
        assert!(kept.len() < 8, "the disk is never full");
        refused(ingest, "full").await;
        ingest.counted("webhook_spool_write_failures_total 2").await;
        disk.remount("nr_inodes=100");
        accepted(ingest, "after").await;
        kept.push("after");
        drained(ingest, (address, target), &kept).await;
    })
    .await;
}

/// Compiles the broken disk; `cc` is what Rust links with.
fn broken_disk(broker: &Broker) -> (PathBuf, PathBuf) {
    let folder = spool_dir(&broker.prefix).parent().unwrap().to_owned();
    let (source, library) = (folder.join("broken_disk.c"), folder.join("broken_disk.so"));
    fs::write(&source, include_str!("disks/broken_disk.c")).unwrap();
    let compiled =
        Command::new("cc").args(["-Wall", "-Werror", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.is_ok_and(|status| status.success()), "cannot compile {}", source.display());
    (library, folder.join("broken-call"))
}

#[rstest]
#[case::write("write")]
#[case::fsync("fsync")]
#[case::rename("rename")]
#[case::fsync_of_the_directory("fsync-directory")]
#[tokio::test]
async fn a_disk_that_fails_is_503_until_it_works(#[case] call: &str) {
    let broker = Broker::connect().await;
    let (library, broken_call) = broken_disk(&broker);
    let address = free_address();
    let (url, target) = by_way_of(address);
    let mut program = Program::start(&broker, |program| {
        program.env("AMQP_URL", url).env("LD_PRELOAD", library).env("BROKEN_CALL", &broken_call);
    });
    program.up().await;
    let status = async |id: &str| program.send(&webhook(id).request()).await.status;
    assert_eq!(status("before").await, 200);
    fs::write(&broken_call, call).unwrap();
    for id in ["broken-1", "broken-2"] {
        assert_eq!(status(id).await, 503);
    }
    assert!(program.ops("/readyz").await.body.contains("the spool takes nothing"));
    assert!(program.log().contains("the spool cannot be written"), "{}", program.log());
    fs::remove_file(&broken_call).unwrap();
    assert_eq!(status("after").await, 200);

    let _gate = Gate::at(address, target).await;
    program.ready().await;
    let taken = [broker.take().await, broker.take().await].map(|message| (message.id, message.body));
    assert_eq!(taken, ["before", "after"].map(|id| (id.to_owned(), "{}".into())));
    until("the spool is empty", async || {
        program.ops("/metrics").await.body.contains("webhook_spool_files 0\n").then_some(())
    })
    .await;
    assert!(broker.is_empty().await);
    assert!(program.terminate().await.success());
    broker.clean_up().await;
}
