//! `oncehook spool` on a directory that ingest might have left.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use shared::message::Message;
use shared::spool::{BatchBuilder, BatchName, Folder, Replica, batches};
use testing::gate::Gate;
use testing::orders::Order;
use testing::run;
use testing::services::setting;
use testing::state::{processed, quantity, stock};
use testing::wait::until;
use time::OffsetDateTime;
use tokio::process::Command;
use url::Url;

use crate::scene::{Worker, command, json, oncehook, orders, queued, text};

async fn spool(root: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncehook"));
    command.arg("spool").args(arguments).env_clear().env("SPOOL_DIR", root).output().await.unwrap()
}

#[tokio::test]
async fn files_are_listed_and_damage_is_found() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spool-{}", std::process::id()));
    let replica = Replica::claim(&root).unwrap();
    let empty = spool(&root, &["ls"]).await;
    assert_eq!(String::from_utf8(empty.stdout).unwrap(), "the spool is empty\n");

    let mut batch = BatchBuilder::default();
    batch.push(&Order::of(1, "a@b.example", &["MUG"]).webhook("w1")).unwrap();
    batch.push(&Order::of(2, "a@b.example", &["MUG"]).webhook("w2")).unwrap();
    let mut bytes = batch.finish();
    let first = BatchName::default().next(OffsetDateTime::UNIX_EPOCH);
    std::fs::write(replica.folder(Folder::New).join(first.to_string()), &bytes).unwrap();
    let whole = spool(&root, &["verify"]).await;
    assert!(whole.status.success(), "{whole:?}");
    *bytes.last_mut().unwrap() ^= 1;
    let second = first.next(OffsetDateTime::UNIX_EPOCH);
    std::fs::write(replica.folder(Folder::Corrupt).join(second.to_string()), &bytes).unwrap();

    let verified = spool(&root, &["verify", "--output", "json"]).await;
    assert_eq!(verified.status.code(), Some(3));
    let files: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&files[0]["folder"], &files[0]["webhooks"]), (&"new".into(), &2.into()));
    assert_eq!((&files[1]["folder"], &files[1]["webhooks"]), (&"corrupt".into(), &1.into()));
    assert!(files[1]["damage"][0].as_str().unwrap().contains("is damaged"), "{files}");
    let listed = String::from_utf8(spool(&root, &["ls"]).await.stdout).unwrap();
    assert!(listed.contains(&first.to_string()) && listed.contains("1970-01-01T00:00:00Z"), "{listed}");
    let nowhere = spool(&root.join("nowhere"), &["ls"]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    std::fs::remove_dir_all(root).unwrap();
}

/// Leaves a batch file behind, as an ingest would have; returns its name.
pub(crate) fn leave(replica: &Replica, after: BatchName, messages: &[Message], damage: bool) -> BatchName {
    let mut batch = BatchBuilder::default();
    for message in messages {
        batch.push(message).unwrap();
    }
    let mut bytes = batch.finish();
    if damage {
        *bytes.last_mut().unwrap() ^= 1;
    }
    let name = after.next(OffsetDateTime::now_utc());
    std::fs::write(replica.folder(Folder::New).join(name.to_string()), bytes).unwrap();
    name
}

#[tokio::test]
async fn what_a_removed_ingest_left_is_drained_and_a_live_one_is_left_alone() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let root = stack.directory.join("spool");
        let orders = orders(&stack, 30);
        let (gone, live) = (Replica::claim(&root).unwrap(), Replica::claim(&root).unwrap());
        let first = leave(&gone, BatchName::default(), &orders[..20], false);
        leave(&gone, first, &orders[20..29], true);
        leave(&live, first, &orders[29..], false);
        let folder = |folder| batches(&root.join("replica-000").join(folder)).unwrap().len();
        drop(gone);

        let drain = ["spool", "drain", "--dir", root.to_str().unwrap()];
        let output = oncehook(&stack, &drain).await;
        let page = text(&output.stdout);
        assert!(output.status.code() == Some(1) && page.contains("a live ingest has it locked"), "{page}");
        assert_eq!((folder("new"), folder("corrupt")), (0, 1));
        queued(&stack, 28).await; // all but the one that is damaged
        assert_eq!(batches(&live.folder(Folder::New)).unwrap().len(), 1);

        let inside = oncehook(&stack, &["spool", "drain", "--dir", root.join("replica-000").to_str().unwrap()]).await;
        assert!(inside.status.code() == Some(1) && text(&inside.stderr).contains("the directory above"), "{inside:?}");

        drop(live);
        let drained = json(&stack, &drain).await;
        let replica = |name: &str, webhooks: u32, files: u32| {
            serde_json::json!({ "replica": name, "state": "empty", "webhooks": webhooks, "files": files, "set_aside": 0, "passed_over": 0 })
        };
        assert_eq!(drained["replicas"], serde_json::json!([replica("replica-000", 0, 0), replica("replica-001", 1, 1)]));
        let worker = Worker::start(&stack).await;
        processed(&stack, 29).await;
        assert_eq!(quantity(&stack, "MUG").await, 971);
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_passed_over_and_told() {
    run(async |stack| {
        let root = stack.directory.join("spool");
        let replica = Replica::claim(&root).unwrap();
        let unreadable = BatchName::default().next(OffsetDateTime::now_utc());
        // A directory: reading it fails, for root too.
        std::fs::create_dir(replica.folder(Folder::New).join(unreadable.to_string())).unwrap();
        leave(&replica, unreadable, &orders(&stack, 3), false);
        drop(replica);
        let output = oncehook(&stack, &["spool", "drain", "--dir", root.to_str().unwrap()]).await;
        let page = text(&output.stdout);
        let told = page.contains("passed over") && page.contains(&unreadable.to_string());
        assert!(output.status.code() == Some(1) && told, "{page}");
        queued(&stack, 3).await;
    })
    .await;
}

#[tokio::test]
async fn a_drain_that_is_killed_is_said_again() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let root = stack.directory.join("spool");
        let replica = Replica::claim(&root).unwrap();
        leave(&replica, BatchName::default(), &orders(&stack, 20), false);
        drop(replica);
        let drain = ["spool", "drain", "--dir", root.to_str().unwrap()];
        for place in ["console.published=kill@1", "console.published=kill@20", "spool.remove=kill@1"] {
            let killed = command(&stack, &drain).env("FAILPOINTS", place).output().await.unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{place}: {killed:?}");
        }
        assert_eq!(json(&stack, &drain).await["replicas"][0]["files"], 1);
        let worker = Worker::start(&stack).await;
        processed(&stack, 20).await;
        assert_eq!(quantity(&stack, "MUG").await, 980);
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_stays_until_all_of_it_is_confirmed() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let root = stack.directory.join("spool");
        let replica = Replica::claim(&root).unwrap();
        leave(&replica, BatchName::default(), &orders(&stack, 40), false);
        let new = replica.folder(Folder::New);
        drop(replica);
        let mut url = Url::parse(&setting("AMQP_URL")).unwrap();
        let gate = Gate::to(format!("127.0.0.1:{}", url.port().unwrap())).await;
        url.set_port(Some(gate.address.port())).unwrap();
        let drain = ["spool", "drain", "--dir", root.to_str().unwrap(), "--rate", "40"];
        let mut cut_off = command(&stack, &drain).env("AMQP_URL", url.as_str()).spawn().unwrap();
        let queue = stack.topology.webhooks();
        until("it is in the middle of the file", || async { (stack.ready(&queue).await > 3).then_some(()) }).await;
        gate.hold_clients();
        assert_eq!(cut_off.wait().await.unwrap().code(), Some(1));
        assert_eq!(batches(&new).unwrap().len(), 1);
        // Again from the file's beginning: what had arrived before is a duplicate.
        let drained = json(&stack, &drain).await;
        assert_eq!(drained["replicas"][0]["webhooks"], 40, "{drained}");
        assert_eq!(batches(&new).unwrap().len(), 0);
        let worker = Worker::start(&stack).await;
        processed(&stack, 40).await;
        assert_eq!(quantity(&stack, "MUG").await, 960);
        worker.stop().await;
    })
    .await;
}
