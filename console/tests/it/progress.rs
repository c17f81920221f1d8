//! How far long work is shows on a terminal, and nowhere else.

use std::process::Output;

use shared::db::parked_webhooks::ParkReason;
use shared::spool::{BatchName, Replica};
use testing::state::{processed, stock};
use testing::{Stack, run};

use crate::scene::{Worker, oncehook, orders, park, terminal, text};
use crate::spool::leave;

/// Runs the command on a terminal of its own; what the terminal was told.
async fn on_a_terminal(stack: &Stack, arguments: &[&str]) -> String {
    let output: Output = terminal(stack, arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[tokio::test]
async fn discarding_draining_and_reading_bodies_show_how_far_they_are() {
    run(async |stack| {
        let orders = orders(&stack, 6);
        park(&stack, &orders[..3], ParkReason::Plan).await;
        let discarded = on_a_terminal(&stack, &["parked", "discard", "--all", "--because", "tests"]).await;
        assert!(discarded.contains("3 of 3 webhooks") && discarded.contains("3 webhooks discarded"), "{discarded}");
        park(&stack, &orders[..3], ParkReason::Plan).await;
        let piped = oncehook(&stack, &["parked", "discard", "--all", "--because", "tests"]).await;
        assert_eq!(text(&piped.stderr), "", "there is no terminal");

        let root = stack.directory.join("spool");
        let replica = Replica::claim(&root).unwrap();
        let first = leave(&replica, BatchName::default(), &orders[3..4], false);
        leave(&replica, first, &orders[4..], false);
        drop(replica);
        let drained = on_a_terminal(&stack, &["spool", "drain", "--dir", root.to_str().unwrap()]).await;
        assert!(drained.contains("1 of 2 files"), "{drained}");

        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        processed(&stack, 3).await;
        worker.stop().await;
        let found = on_a_terminal(&stack, &["webhooks", "ls", "--text", "order-5"]).await;
        assert!(found.contains("reading bodies") && found.contains("w5"), "{found}");
        let by_id = on_a_terminal(&stack, &["webhooks", "ls", "w5"]).await;
        assert!(!by_id.contains("reading bodies"), "{by_id}");
    })
    .await;
}
