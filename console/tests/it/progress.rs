//! How far long work is shows on a terminal, and nowhere else.

use std::process::Output;

use shared::db::parked_webhooks::ParkReason;
use shared::spool::{BatchName, Replica};
use testing::http_sink::HttpSink;
use testing::state::{processed, stock};
use testing::{Stack, run};

use crate::scene::{Worker, oncehook, orders, park, terminal, text};
use crate::spool::leave;

/// Runs the command on a terminal of its own; what the terminal was told.
async fn on_a_terminal(stack: &Stack, arguments: &[&str]) -> String {
    let output: Output = terminal(stack, arguments).env("SHOPIFY_WEBHOOK_SECRET", "hush").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// Whether a screen was told all of this.
#[track_caller]
fn assert_shown(screen: &str, words: &[&str]) {
    for words in words {
        assert!(screen.contains(words), "{words:?}: {screen}");
    }
}

#[tokio::test]
async fn discarding_draining_verifying_and_reading_bodies_show_how_far_they_are() {
    run(async |stack| {
        let orders = orders(&stack, 6);
        park(&stack, &orders[..3], ParkReason::Plan).await;
        let discarded = on_a_terminal(&stack, &["parked", "discard", "--all", "--because", "tests"]).await;
        assert_shown(&discarded, &["counting, for", "3 of 3 webhooks", "3 webhooks discarded"]);
        park(&stack, &orders[..3], ParkReason::Plan).await;
        let piped = oncehook(&stack, &["parked", "discard", "--all", "--because", "tests"]).await;
        assert_eq!(text(&piped.stderr), "", "there is no terminal");

        let root = stack.directory.join("spool");
        let replica = Replica::claim(&root).unwrap();
        let first = leave(&replica, BatchName::default(), &orders[3..4], false);
        leave(&replica, first, &orders[4..], false);
        drop(replica);
        let verified = on_a_terminal(&stack, &["spool", "verify", "--dir", root.to_str().unwrap()]).await;
        assert_shown(&verified, &["1 of 2 files", "whole"]);
        let drained = on_a_terminal(&stack, &["spool", "drain", "--dir", root.to_str().unwrap()]).await;
        assert_shown(&drained, &["1 of 2 files"]);

        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        processed(&stack, 3).await;
        worker.stop().await;
        let found = on_a_terminal(&stack, &["webhooks", "ls", "--text", "order-5"]).await;
        assert_shown(&found, &["reading bodies", "w5"]);
        let by_id = on_a_terminal(&stack, &["webhooks", "ls", "w5"]).await;
        assert!(!by_id.contains("reading bodies"), "{by_id}");
    })
    .await;
}

#[tokio::test]
async fn redriving_replaying_sending_effects_again_and_purging_show_how_far_they_are() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let orders = orders(&stack, 5);
        for order in &orders[..2] {
            stack.publish(order).await;
        }
        let worker = Worker::start(&stack).await;
        processed(&stack, 2).await;
        worker.stop().await;

        park(&stack, &orders[2..], ParkReason::Plan).await;
        let redriven = on_a_terminal(&stack, &["parked", "redrive", "--all"]).await;
        assert_shown(&redriven, &["counting, for", "3 of 3 webhooks", "3 webhooks redriven"]);
        let replayed = on_a_terminal(&stack, &["replay", "--source", "shopify", "--yes"]).await;
        assert_shown(&replayed, &["counting, for", "2 of 2 webhooks", "2 webhooks replayed"]);

        stack.database.execute("UPDATE outbox SET state = 'failed', lease_until = NULL, settled_at = now()").await;
        let resent = on_a_terminal(&stack, &["outbox", "resend", "--all"]).await;
        assert_shown(&resent, &["counting, for", "2 of 2 effects"]);
        stack.database.execute("UPDATE processed_webhooks SET first_processed_at = now() - interval '60 days'").await;
        let purged = on_a_terminal(&stack, &["purge", "--yes"]).await;
        assert_shown(&purged, &["counting, for", "2 of 2 rows"]);
    })
    .await;
}

#[tokio::test]
async fn sending_often_checking_stock_and_the_doctor_show_how_far_they_are() {
    run(async |stack| {
        let sink = HttpSink::start().await;
        let sent = on_a_terminal(&stack, &["send", "shopify", "--repeat", "4", "--to", &sink.url("")]).await;
        assert_shown(&sent, &["1 of 4 webhooks", "4 of 4 webhooks"]);
        assert_eq!(sink.calls().len(), 4);
        let file = stack.directory.join("stock.csv");
        std::fs::write(&file, "sku,quantity\nMUG,12\nHAT,3\n").unwrap();
        let imported = on_a_terminal(&stack, &["inventory", "import", file.to_str().unwrap()]).await;
        assert_shown(&imported, &["1 of 2 SKUs", "HAT"]);
        let checked = on_a_terminal(&stack, &["inventory", "check"]).await;
        assert_shown(&checked, &["reading the ledger, for", "is what it began with"]);
        // Which has something to say about an installation where nothing runs.
        let examined = terminal(&stack, &["doctor"]).output().await.unwrap();
        assert_eq!(examined.status.code(), Some(3));
        assert_shown(&text(&examined.stdout), &["of 8 areas", "to mend it: "]);
    })
    .await;
}
