//! `oncehook parked`: what is listed and shown, what a redrive and a discard do, and to whom they refuse.

use shared::db::parked_webhooks::rows::{self, ParkState};
use shared::db::parked_webhooks::{self, ParkReason, steer};
use shared::db::processed_webhooks::WebhookKey;
use shared::message::Message;
use testing::orders::{Order, webhook};
use testing::run;
use testing::state::{number, parked, processed, quantity, stock};

use crate::scene::{Worker, json, oncehook, orders, park, queued, text};

#[tokio::test]
async fn a_listing_is_filtered_and_goes_page_by_page() {
    run(async |stack| {
        park(&stack, &orders(&stack, 5), ParkReason::UnknownSku).await;
        park(&stack, &[webhook("other", "carts/update", b"{}".to_vec())], ParkReason::Plan).await;
        let ids = |page: &serde_json::Value| {
            let rows = page["parked"].as_array().unwrap();
            rows.iter().map(|row| row["webhook_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut arguments = vec!["parked", "ls", "--limit", "2"];
            if let Some(after) = &after {
                arguments.extend(["--after", after.as_str()]);
            }
            let page = json(&stack, &arguments).await;
            found.extend(ids(&page));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, ["other", "w1", "w2", "w3", "w4", "w5"]);
        for (filter, count) in [
            (vec!["--reason", "plan"], 1),
            (vec!["--topic", "orders/paid"], 5),
            (vec!["--source", "github"], 0),
            (vec!["--since", "1h"], 6),
            (vec!["--until", "1h"], 0),
            (vec!["--state", "resolved"], 0),
            (vec!["--state", "any", "--reason", "unknown-sku"], 5),
        ] {
            assert_eq!(
                ids(&json(&stack, &[&["parked", "ls"], filter.as_slice()].concat()).await).len(),
                count,
                "{filter:?}"
            );
        }
        let table = text(&oncehook(&stack, &["parked", "ls", "--limit", "5"]).await.stdout);
        assert!(
            table.contains("SOURCE") && table.contains("unknown-sku") && table.contains("more: --after '"),
            "{table}"
        );
    })
    .await;
}

#[tokio::test]
async fn one_is_shown_with_its_failures_and_its_body_byte_for_byte() {
    run(async |stack| {
        let order = Order::of(7, "zoe@shop.example", &["NO-SUCH"]);
        let worker = Worker::start(&stack).await;
        let headers = vec![("x-api-token".to_owned(), "hidden".to_owned()), ("x-shop".to_owned(), "a".to_owned())];
        stack.publish(&Message { headers, ..order.webhook("w7") }).await;
        parked(&stack, "unknown-sku", 1).await;
        worker.stop().await;
        let shown = json(&stack, &["parked", "show", "shopify", "w7"]).await;
        assert_eq!((&shown["reason"], &shown["state"]), (&"unknown-sku".into(), &"parked".into()));
        assert_eq!(shown["headers"], serde_json::json!({ "x-api-token": "***", "x-shop": "a" }));
        assert_eq!((&shown["failures"][0]["outcome"], &shown["failures"][0]["attempt"]), (&"park".into(), &0.into()));
        assert!(shown["failures"][0]["error"].as_str().unwrap().contains("NO-SUCH"), "{shown}");
        assert_eq!(shown["body"]["text"].as_str().unwrap().as_bytes(), order.body());
        let raw = oncehook(&stack, &["parked", "show", "shopify", "w7", "--raw"]).await;
        assert_eq!(raw.stdout, order.body());
        let page = text(&oncehook(&stack, &["parked", "show", "shopify", "w7"]).await.stdout);
        assert!(
            page.contains("unknown-sku") && page.contains("\n  \"line_items\": [\n") && !page.contains("hidden"),
            "{page}"
        );
        // A body that would command a terminal is shown, and written as it is.
        let hostile = b"\x1b]0;owned\x07\xff".to_vec();
        park(&stack, &[webhook("hostile", "t", hostile.clone())], ParkReason::Plan).await;
        let page = oncehook(&stack, &["parked", "show", "shopify", "hostile"]).await;
        assert!(!page.stdout.contains(&0x1b) && text(&page.stdout).contains("--raw"), "{page:?}");
        assert_eq!(oncehook(&stack, &["parked", "show", "shopify", "hostile", "--raw"]).await.stdout, hostile);
        assert_eq!(oncehook(&stack, &["parked", "show", "shopify", "nobody"]).await.status.code(), Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_redriven_webhook_runs_once_after_the_cause_is_mended() {
    run(async |stack| {
        let worker = Worker::start(&stack).await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["LATE"]).webhook("w1")).await;
        parked(&stack, "unknown-sku", 1).await;
        // Not mended: it is parked again, and can be redriven again.
        assert!(oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await.status.success());
        number(&stack, "SELECT coalesce(max(generation), 0)::int8 FROM parked_webhooks WHERE state = 'parked'", 3)
            .await;
        stock(&stack, &["LATE"]).await;
        let redriven = json(&stack, &["parked", "redrive", "shopify", "w1"]).await;
        assert_eq!(
            redriven["webhooks"],
            serde_json::json!([{ "source": "shopify", "why": "unknown-sku", "webhooks": 1 }])
        );
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 1).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND effect = 'order-confirmation'", 1).await;
        assert_eq!(quantity(&stack, "LATE").await, 999);
        number(&stack, "SELECT attempt::int8 + duplicates FROM processed_webhooks", 0).await;
        let again = oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await;
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again.stderr).contains("it was processed"), "{again:?}");
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_done_to_many_by_accident() {
    run(async |stack| {
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        park(&stack, &[webhook("other", "orders/paid", b"{}".to_vec())], ParkReason::Plan).await;
        for action in [vec!["redrive"], vec!["discard", "--because", "a test"]] {
            let act = |more: &[&'static str]| [&["parked"], action.as_slice(), more].concat();
            let output = oncehook(&stack, &act(&[])).await;
            assert!(output.status.code() == Some(1) && text(&output.stderr).contains("--all"), "{output:?}");
            let output = oncehook(&stack, &act(&["--reason", "plan"])).await;
            assert!(output.status.code() == Some(1) && text(&output.stderr).contains("--yes"), "{output:?}");
            assert_eq!(oncehook(&stack, &act(&["--yes"])).await.status.code(), Some(1), "agreeing to nothing");
            assert_eq!(oncehook(&stack, &act(&["shopify"])).await.status.code(), Some(2), "half a name");
            assert_eq!(oncehook(&stack, &act(&["shopify", "w1", "--all"])).await.status.code(), Some(2));
            let would = json(&stack, &act(&["--all", "--dry-run"])).await;
            assert_eq!((&would["tense"], &would["webhooks"][1]["webhooks"]), (&"would".into(), &3.into()), "{would}");
        }
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked' AND generation = 1", 4).await;
        assert_eq!(stack.ready(&stack.topology.webhooks()).await, 0);
        let output = oncehook(&stack, &["parked", "redrive", "--reason", "unknown-sku", "--yes"]).await;
        assert!(output.status.success() && text(&output.stdout).contains("3 webhooks redriven"), "{output:?}");
        queued(&stack, 3).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'redriving' AND redriven_at IS NOT NULL", 3)
            .await;
        let status = json(&stack, &["status"]).await;
        assert_eq!((&status["parked"][0]["reason"], status["parked"].as_array().unwrap().len()), (&"plan".into(), 1));
        // On their way: neither redriven nor discarded again, unless it is said.
        let idle = json(&stack, &["parked", "redrive", "--reason", "unknown-sku", "--yes"]).await;
        assert_eq!(idle["webhooks"], serde_json::json!([]));
        let one = oncehook(&stack, &["parked", "redrive", "shopify", "w2"]).await;
        assert!(one.status.code() == Some(1) && text(&one.stderr).contains("on its way"), "{one:?}");
        assert!(
            oncehook(&stack, &["parked", "redrive", "shopify", "w2", "--state", "redriving"]).await.status.success()
        );
        queued(&stack, 4).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_redrive_would_not_mend_is_refused_until_a_person_says_so() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let order = |id: u64| Order::of(id, &format!("order-{id}@{}", stack.mail_domain), &["MUG"]);
        let worker = Worker::start(&stack).await;
        stack.publish(&order(1).webhook("first")).await;
        processed(&stack, 1).await;
        let month = time::Duration::days(31);
        let old = order(2).webhook("old");
        park(&stack, &[Message { received_at: old.received_at - month, ..old }], ParkReason::TooOld).await;
        let stale = order(3).webhook("stale");
        park(&stack, &[Message { received_at: stale.received_at - month, ..stale }], ParkReason::DeadLettered).await;
        let changed = Order { email: Some(format!("changed@{}", stack.mail_domain)), ..order(1) };
        park(&stack, &[changed.webhook("first")], ParkReason::ChangedBody).await;
        park(&stack, &[order(4).webhook("unread")], ParkReason::Unreadable).await;
        park(&stack, &[webhook("scrap", "", b"?".to_vec())], ParkReason::Unreadable).await;
        let gone = Message { source: "gone".try_into().unwrap(), ..order(5).webhook("gone") };
        park(&stack, &[gone], ParkReason::Plan).await;
        let refused = oncehook(&stack, &["parked", "redrive", "--all"]).await;
        let page = text(&refused.stdout);
        assert_eq!(refused.status.code(), Some(3), "{page}");
        for because in [
            "2 webhooks not redriven",
            "--accept too-old",
            "--accept changed-body",
            "--accept unreadable",
            "not in the configuration",
        ] {
            assert!(page.contains(because), "{because}: {page}");
        }
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked' AND generation = 1", 6).await;

        let accepting = ["parked", "redrive", "--all", "--accept", "too-old,changed-body,unreadable"];
        let redriven = oncehook(&stack, &accepting).await;
        let page = text(&redriven.stdout);
        assert!(redriven.status.code() == Some(3) && page.contains("4 webhooks redriven"), "{page}");
        assert!(page.contains("too little of it was saved") && page.contains("not in the configuration"), "{page}");
        processed(&stack, 5).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 4).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked'", 2).await;
        // The changed body ran as a replay of the first: stock is taken once, the mail went out once.
        number(
            &stack,
            "SELECT count(*) FROM processed_webhooks WHERE replay_of = 'first' AND replay_run LIKE 'changed-%'",
            1,
        )
        .await;
        assert_eq!(quantity(&stack, "MUG").await, 1000 - 4);
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation'", 4).await;
        worker.stop().await;
    })
    .await;
}

/// It was processed with another body while it was being parked: a redrive settles that, and runs nothing.
#[tokio::test]
async fn a_redriven_duplicate_settles_its_row_whatever_body_was_processed() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        stack.publish(&orders(&stack, 1)[0]).await;
        processed(&stack, 1).await;
        let other = Order::of(99, &format!("b@{}", stack.mail_domain), &["MUG"]).webhook("w1");
        park(&stack, &[other], ParkReason::Plan).await;
        assert!(oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await.status.success());
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 1).await;
        number(&stack, "SELECT changed_bodies::int8 FROM processed_webhooks", 1).await;
        // The same when it fails before it comes to the claim.
        let no_json = webhook("w1", "orders/paid", b"no JSON".to_vec());
        stack.database.execute("DELETE FROM parked_webhooks").await;
        park(&stack, &[no_json], ParkReason::Plan).await;
        assert!(oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await.status.success());
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 1).await;
        number(&stack, "SELECT changed_bodies::int8 FROM processed_webhooks", 2).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        worker.stop().await;
    })
    .await;
}

/// Time spent parked is no age: what was young when it was parked goes back without a word.
#[tokio::test]
async fn a_webhook_that_was_parked_for_long_is_not_too_old() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 1), ParkReason::UnknownSku).await;
        let ago = "SET received_at = received_at - interval '90 d', parked_at = parked_at - interval '89 d'";
        stack.database.execute(&format!("UPDATE parked_webhooks {ago}")).await;
        let worker = Worker::start(&stack).await;
        assert!(oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await.status.success());
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 1).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_discarded_stays_and_comes_back_only_on_purpose() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 3), ParkReason::Plan).await;
        let discarded =
            oncehook(&stack, &["parked", "discard", "--reason", "plan", "--yes", "--because", "test orders"]).await;
        assert!(text(&discarded.stdout).contains("3 webhooks discarded"), "{discarded:?}");
        let none = json(&stack, &["parked", "redrive", "--all"]).await;
        assert_eq!(none["webhooks"], serde_json::json!([]));
        let shown = json(&stack, &["parked", "show", "shopify", "w1"]).await;
        assert_eq!((&shown["state"], &shown["discarded_because"]), (&"discarded".into(), &"test orders".into()));
        let one = oncehook(&stack, &["parked", "redrive", "shopify", "w1"]).await;
        assert!(one.status.code() == Some(1) && text(&one.stderr).contains("--state discarded"), "{one:?}");
        let worker = Worker::start(&stack).await;
        assert!(
            oncehook(&stack, &["parked", "redrive", "shopify", "w1", "--state", "discarded"]).await.status.success()
        );
        // Its provider may think otherwise, too.
        stack.publish(&orders(&stack, 3)[1]).await;
        processed(&stack, 2).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 2).await;
        let processed_one = oncehook(&stack, &["parked", "discard", "shopify", "w1", "--because", "too late"]).await;
        assert!(processed_one.status.code() == Some(1) && text(&processed_one.stderr).contains("was processed"));
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_purged_says_so_and_is_not_redriven() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        assert!(
            oncehook(&stack, &["parked", "discard", "shopify", "w1", "--because", "a test"]).await.status.success()
        );
        stack.database.execute("UPDATE parked_webhooks SET changed_at = now() - interval '31 d'").await;
        let client = stack.database.client().await;
        assert_eq!(parked_webhooks::purge::purge(&**client, 30, 10).await.unwrap(), 1);
        let redriven = oncehook(&stack, &["parked", "redrive", "shopify", "w1", "--state", "discarded"]).await;
        assert!(
            redriven.status.code() == Some(3) && text(&redriven.stdout).contains("its body is purged"),
            "{redriven:?}"
        );
        assert!(text(&oncehook(&stack, &["parked", "show", "shopify", "w1"]).await.stdout).contains("(purged"));
        let raw = oncehook(&stack, &["parked", "show", "shopify", "w1", "--raw"]).await;
        assert!(raw.status.code() == Some(1) && text(&raw.stderr).contains("its body is purged"), "{raw:?}");
    })
    .await;
}

/// A redrive that the broker did not take leaves it as it was: discarded, for the same reason.
#[tokio::test]
async fn what_was_discarded_and_could_not_be_published_is_discarded() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        assert!(
            oncehook(&stack, &["parked", "discard", "shopify", "w1", "--because", "a test"]).await.status.success()
        );
        let client = stack.database.client().await;
        let key = WebhookKey { source: "shopify".to_owned(), webhook_id: "w1".to_owned() };
        let row = rows::find(&client, &key).await.unwrap().unwrap();
        let taken = steer::begin(&client, &[&row]).await.unwrap();
        assert_eq!(taken[0].row.state, ParkState::Redriving);
        assert_eq!(steer::begin(&client, &[&row]).await.unwrap(), [], "it is taken already");
        assert_eq!(steer::release(&client, &[&row]).await.unwrap(), 0, "that was another generation");
        assert_eq!(steer::release(&client, &[&taken[0].row]).await.unwrap(), 1);
        let row = rows::find(&client, &key).await.unwrap().unwrap();
        assert_eq!((row.state, row.discarded_because.as_deref()), (ParkState::Discarded, Some("a test")));
    })
    .await;
}

#[tokio::test]
async fn the_rate_is_kept_and_the_largest_bodies_pass() {
    run(async |stack| {
        park(&stack, &orders(&stack, 15), ParkReason::UnknownSku).await;
        let began = std::time::Instant::now();
        assert!(oncehook(&stack, &["parked", "redrive", "--all", "--rate", "10"]).await.status.success());
        assert!(began.elapsed().as_millis() >= 1_000, "{:?}", began.elapsed());
        queued(&stack, 15).await;
        let large: Vec<Message> =
            (0..5).map(|n| webhook(&format!("large{n}"), "t", vec![b'x'; 8 * 1024 * 1024])).collect();
        park(&stack, &large, ParkReason::Data).await;
        let redriven = oncehook(&stack, &["parked", "redrive", "--reason", "data", "--all", "--rate", "0"]).await;
        assert!(redriven.status.success(), "{redriven:?}");
        queued(&stack, 20).await;
    })
    .await;
}
