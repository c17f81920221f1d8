//! `oncehook replay`: what is missing is filled in, nothing is doubled, and only on purpose.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use testing::mail::received;
use testing::state::{assert_no_drift, number, parked, processed, quantity, quicken, stock};
use testing::wait::until;
use testing::{Stack, replace, run};

use crate::scene::{Worker, command, json, oncehook, orders, queued, text};

/// So many orders, processed by a worker; their mails are out.
async fn processed_orders(stack: &Stack, count: u64) -> Worker {
    stock(stack, &["MUG"]).await;
    for order in orders(stack, count) {
        stack.publish(&order).await;
    }
    let worker = Worker::start(stack).await;
    mails(stack, usize::try_from(count).unwrap()).await;
    worker
}

/// Waits until so many mails are out, and no more; returns how many Message-IDs they have.
async fn mails(stack: &Stack, count: usize) -> usize {
    let rows = i64::try_from(count).unwrap();
    number(stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND NOT ambiguous", rows).await;
    number(stack, "SELECT count(*) FROM outbox", rows).await;
    let mails = received(&stack.mail_domain).await;
    assert_eq!(mails.len(), count);
    mails.iter().map(|mail| mail.message_id.clone()).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_replay_after_a_mapping_was_mended_fills_in_what_is_missing() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        // A mistake in the mapping: no order has an address, and no line the right SKU.
        let mistaken = |text: &str| replace(&quicken(text), "to: (.email // .contact_email)", "to: .e_mail");
        let worker = Worker::with(&stack, &stack.configure(mistaken)).await;
        stack.publish(&orders(&stack, 1)[0]).await;
        processed(&stack, 1).await;
        worker.stop().await;
        number(&stack, "SELECT count(*) FROM outbox", 0).await;

        let worker = Worker::start(&stack).await;
        let replayed = json(&stack, &["replay", "shopify", "w1", "--run", "mended-map"]).await;
        assert_eq!((&replayed["run"], &replayed["webhooks"][0]["webhooks"]), (&"mended-map".into(), &1.into()));
        processed(&stack, 2).await;
        mails(&stack, 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        let linked = "replay_of = 'w1' AND replay_run = 'mended-map' AND webhook_id = '↻mended-map:w1'";
        number(&stack, &format!("SELECT count(*) FROM processed_webhooks WHERE {linked}"), 1).await;
        let on_record = "action = 'webhooks.replay' AND via = 'terminal' AND outcome = 'done'
                         AND subject = 'shopify w1 in the run mended-map' AND request ->> 'run' = 'mended-map'";
        assert_eq!(stack.database.number(&format!("SELECT count(*) FROM console_audit WHERE {on_record}")).await, 1);

        // The same run again has done it; another run finds nothing missing.
        for mode in [&[][..], &["--resend"]] {
            let again = [&["webhooks", "replay", "shopify", "w1", "--run", "mended-map"], mode].concat();
            let refused = oncehook(&stack, &again).await;
            assert_eq!(refused.status.code(), Some(3));
            assert!(text(&refused.stdout).contains("the run has done it already"), "{refused:?}");
        }
        assert!(oncehook(&stack, &["replay", "shopify", "w1"]).await.status.success());
        processed(&stack, 3).await;
        mails(&stack, 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        assert_no_drift(&stack).await;
        worker.stop().await;
    })
    .await;
}

/// A source that drops bodies which come again under a fresh id does not drop what a person replays.
#[tokio::test]
async fn the_defence_against_captured_bodies_lets_a_persons_replay_through() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let strict = |text: &str| replace(&quicken(text), r#"replay_defence = "off""#, r#"replay_defence = "drop""#);
        let worker = Worker::with(&stack, &stack.configure(strict)).await;
        let order = orders(&stack, 1).remove(0);
        stack.publish(&order).await;
        processed(&stack, 1).await;
        stack.publish(&shared::message::Message { id: "captured".to_owned(), ..order }).await;
        processed(&stack, 2).await;
        assert!(oncehook(&stack, &["replay", "shopify", "w1", "--resend", "--run", "again"]).await.status.success());
        processed(&stack, 3).await;
        mails(&stack, 2).await;
        let dropped = "SELECT count(*) FROM processed_webhooks WHERE skips @> '[{\"by\":\"replay-defence\"}]'";
        number(&stack, &format!("{dropped} AND webhook_id = 'captured'"), 1).await;
        number(&stack, dropped, 1).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn resend_lets_mails_go_out_again_once_a_run_and_never_takes_stock_twice() {
    run(async |stack| {
        let worker = processed_orders(&stack, 3).await;
        // One order under a second id: two webhooks, one mail in the run.
        stack.publish(&shared::message::Message { id: "w1-again".to_owned(), ..orders(&stack, 1)[0].clone() }).await;
        processed(&stack, 4).await;
        for _twice in 0..2 {
            let again = ["replay", "--source", "shopify", "--yes", "--resend", "--run", "again"];
            assert!(oncehook(&stack, &again).await.status.success());
            processed(&stack, 8).await;
        }
        assert_eq!(mails(&stack, 6).await, 6, "each under a Message-ID of its own");
        assert_eq!(quantity(&stack, "MUG").await, 997);
        assert_no_drift(&stack).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_replayed_by_accident() {
    run(async |stack| {
        let worker = processed_orders(&stack, 2).await;
        worker.stop().await;
        for (arguments, hint) in [
            (vec!["replay"], "give a filter"),
            (vec!["replay", "--yes"], "give a filter"),
            (vec!["replay", "--since", "1h"], "--yes"),
            (vec!["replay", "shopify", "nobody"], "no webhook nobody"),
            (vec!["replay", "shopify", "w1", "--run", "changed-abc"], "taken"),
        ] {
            let output = oncehook(&stack, &arguments).await;
            assert!(!output.status.success() && text(&output.stderr).contains(hint), "{arguments:?}: {output:?}");
        }
        let would = json(&stack, &["replay", "--since", "1h", "--dry-run"]).await;
        assert_eq!((&would["tense"], &would["webhooks"][0]["webhooks"]), (&"would".into(), &2.into()), "{would}");
        let none = json(&stack, &["replay", "--status", "skipped", "--yes"]).await;
        assert_eq!(none["webhooks"], serde_json::json!([]));
        assert_eq!(stack.ready(&stack.topology.webhooks()).await, 0);
        number(&stack, "SELECT count(*) FROM processed_webhooks", 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_under_its_name() {
    run(async |stack| {
        let worker = processed_orders(&stack, 300).await;
        let again = ["replay", "--topic", "orders/paid", "--yes", "--resend", "--run", "again"];
        let replays = "SELECT count(*) FROM processed_webhooks WHERE replay_of IS NOT NULL";
        for place in ["console.published=kill@1", "console.published=kill@150"] {
            let killed = command(&stack, &again).env("FAILPOINTS", place).output().await.unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{place}: {killed:?}");
        }
        until("the worker has some", || async { (stack.database.number(replays).await > 0).then_some(()) }).await;
        assert!(oncehook(&stack, &again).await.status.success());
        processed(&stack, 600).await;
        number(&stack, replays, 300).await;
        assert_eq!(mails(&stack, 600).await, 600);
        assert_eq!(quantity(&stack, "MUG").await, 700);
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said_clearly() {
    run(async |stack| {
        let worker = processed_orders(&stack, 2).await;
        assert!(oncehook(&stack, &["replay", "shopify", "w2", "--run", "r"]).await.status.success());
        processed(&stack, 3).await;
        worker.stop().await;
        let replay = oncehook(&stack, &["replay", "shopify", "↻r:w2"]).await;
        assert!(replay.status.code() == Some(1) && text(&replay.stderr).contains("a replay of w2"), "{replay:?}");
        stack.database.execute("DELETE FROM webhook_payloads WHERE webhook_id = 'w1'").await;
        let purged = oncehook(&stack, &["replay", "shopify", "w1"]).await;
        assert!(purged.status.code() == Some(3) && text(&purged.stdout).contains("its body is purged"), "{purged:?}");
        let some = json(&stack, &["replay", "--since", "1h", "--yes"]).await;
        assert_eq!(
            (&some["webhooks"][0]["webhooks"], &some["refused"][0]["webhooks"]),
            (&1.into(), &1.into()),
            "{some}"
        );
        queued(&stack, 1).await;
    })
    .await;
}

/// A replay that fails is parked like any webhook, and comes back as the replay that it was.
#[tokio::test]
async fn a_replay_that_is_parked_is_redriven_as_a_replay() {
    run(async |stack| {
        let worker = processed_orders(&stack, 1).await;
        worker.stop().await;
        let broken = |text: &str| replace(&quicken(text), "customer: (.customer", "customer: error(.customer");
        let worker = Worker::with(&stack, &stack.configure(broken)).await;
        assert!(oncehook(&stack, &["replay", "shopify", "w1", "--resend", "--run", "again"]).await.status.success());
        assert_eq!(parked(&stack, "plan", 1).await, ["↻again:w1"]);
        worker.stop().await;
        let shown = json(&stack, &["parked", "show", "shopify", "↻again:w1"]).await;
        assert_eq!(shown["replay"], serde_json::json!({ "of": "w1", "run": "again", "mode": "resend" }));
        let worker = Worker::start(&stack).await;
        assert!(oncehook(&stack, &["parked", "redrive", "--all"]).await.status.success());
        processed(&stack, 2).await;
        number(&stack, "SELECT count(*) FROM processed_webhooks WHERE replay_of = 'w1' AND replay_run = 'again'", 1)
            .await;
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation' AND state = 'sent'", 2).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        worker.stop().await;
    })
    .await;
}
