//! `oncehook spool` on a directory that ingest might have left.

use shared::spool::{BatchBuilder, BatchName, Folder, Replica};
use testing::orders::Order;
use time::OffsetDateTime;
use tokio::process::Command;

async fn spool(root: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncehook"));
    command.arg("spool").args(arguments).env_clear().env("SPOOL_DIR", root).output().await.unwrap()
}

#[tokio::test]
async fn files_are_listed_and_damage_is_found() {
    let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spool-{}", std::process::id()));
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
