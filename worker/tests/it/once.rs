//! Every webhook takes effect once: not zero times, not twice.

use testing::mail::received;
use testing::orders::{Order, webhook};
use testing::wait::until;
use testing::{replace, run};

use crate::scene::{
    assert_no_drift, count_parked, number, parked, processed, quantity, quick, quicken, stock, worker, worker_with,
};

#[tokio::test]
async fn duplicates_and_one_order_under_two_ids_decrement_and_mail_once() {
    run(async |stack| {
        stock(&stack, &["MUG", "HAT"]).await;
        let worker = worker(&stack).await;
        let mail = |who: &str| format!("{who}@{}", stack.mail_domain);
        let zoe = Order::of(5001, &mail("zoe"), &["MUG", "HAT"]);
        for id in ["w1", "w1", "w1", "w2", "w1"] {
            stack.publish(&zoe.webhook(id)).await;
        }
        stack.publish(&Order::of(5002, &mail("bob"), &["MUG"]).webhook("w3")).await;
        processed(&stack, 3).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 3).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 2).await;
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "HAT").await), (998, 999));
        assert_no_drift(&stack).await;
        let mails = received(&stack.mail_domain).await;
        assert_eq!(mails.len(), 2, "{mails:?}");
        let to_zoe = mails.iter().find(|mail| mail.to[0].address.starts_with("zoe@")).unwrap();
        assert_eq!(to_zoe.subject, "Your order #5001");
        assert!(to_zoe.text.contains("Hello Zoë,"), "{}", to_zoe.text);
        assert!(to_zoe.message_id.ends_with("@shop.example"), "{}", to_zoe.message_id);
        let metrics = worker.metrics().await;
        assert!(metrics.contains(r#"webhook_processed_total{source="shopify",outcome="duplicate"} 3"#), "{metrics}");
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn what_real_orders_contain_is_skipped_and_recorded() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        let mut tip = Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]);
        tip.lines.push((None, 1));
        tip.lines.push((Some(String::new()), 2));
        let point_of_sale = Order { email: None, ..Order::of(2, "", &["MUG"]) };
        let test = Order { test: true, ..Order::of(3, &format!("b@{}", stack.mail_domain), &["MUG"]) };
        stack.publish(&tip.webhook("tip")).await;
        stack.publish(&point_of_sale.webhook("pos")).await;
        stack.publish(&test.webhook("test")).await;
        stack.publish(&webhook("other", "carts/update", b"not even JSON".to_vec())).await;
        processed(&stack, 4).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 998);
        let client = stack.database.client().await;
        let query = "SELECT webhook_id, status, skips::text AS skips FROM processed_webhooks ORDER BY webhook_id";
        let rows = client.query(query, &[]).await.unwrap();
        let rows: Vec<(String, String, String)> =
            rows.iter().map(|row| (row.get("webhook_id"), row.get("status"), row.get("skips"))).collect();
        let row = |id: &str| rows.iter().find(|row| row.0 == id).unwrap();
        assert_eq!((row("tip").1.as_str(), row("tip").2.matches("has no SKU").count()), ("completed", 2));
        assert!(row("pos").1 == "completed" && row("pos").2.contains("has no e-mail address"), "{:?}", row("pos"));
        assert!(
            row("test").1 == "skipped" && row("test").2.contains("the route's filter said no"),
            "{:?}",
            row("test")
        );
        assert_eq!((row("other").1.as_str(), row("other").2.as_str()), ("skipped", "[]"));
        number(&stack, "SELECT count(*) FROM parked_webhooks", 0).await;
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_changed_body_is_counted_or_parked_as_the_source_says() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let flagging = worker(&stack).await;
        let order = |email: &str| Order::of(7, &format!("{email}@{}", stack.mail_domain), &["MUG"]).webhook("w");
        stack.publish(&order("a")).await;
        stack.publish(&order("b")).await;
        number(&stack, "SELECT coalesce(sum(changed_bodies), 0)::int8 FROM processed_webhooks", 1).await;
        flagging.terminate().await;
        let config = stack
            .configure(|text| replace(&quicken(text), r#"on_changed_body = "flag""#, r#"on_changed_body = "park""#));
        let parking = worker_with(&stack, &config).await;
        // Each of them is kept, once, however often it comes.
        for email in ["c", "d", "c"] {
            stack.publish(&order(email)).await;
        }
        number(&stack, "SELECT count(*) FROM webhook_failures", 3).await;
        let kept = parked(&stack, "changed-body", 2).await;
        assert!(kept.iter().all(|id| id.starts_with("↻changed-") && id.ends_with(":w")), "{kept:?}");
        for email in ["c", "d"] {
            assert_eq!(count_parked(&stack, &order(email)).await, 1, "{email}");
        }
        // The body that was processed comes again: the others wait for a person all the same.
        stack.publish(&order("a")).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 5).await;
        assert_eq!(parked(&stack, "changed-body", 2).await, kept);
        assert_eq!(quantity(&stack, "MUG").await, 999);
        drop(parking);
    })
    .await;
}

/// ingest was told of a source, the worker not yet: its routes are unknown here, which is not the same as none.
#[tokio::test]
async fn a_source_that_the_worker_does_not_know_is_not_skipped() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let without_the_shop = |text: &str| {
            let text = replace(&quicken(text), "[sources.shopify]", "[sources.another-shop]");
            replace(&text, r#"sources = ["shopify"]"#, r#"sources = ["another-shop"]"#)
        };
        let old = worker_with(&stack, &stack.configure(without_the_shop)).await;
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("w")).await;
        number(&stack, "SELECT least(count(*), 1) FROM webhook_failures WHERE outcome = 'retry'", 1).await;
        assert!(old.terminate().await.success());
        let new = worker(&stack).await;
        processed(&stack, 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        drop(new);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_can_be_followed_by_its_id_and_a_terminated_worker_ends_well() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let config = quick(&stack);
        let worker = worker_with(&stack, &config).await;
        stack.publish(&Order::of(9, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("follow-me")).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 1).await;
        until("both lines are logged", || async {
            let log = worker.log();
            let lines: Vec<serde_json::Value> = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(|line: &serde_json::Value| line["webhook.id"] == "follow-me")
                .collect();
            let outcomes: Vec<&str> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
            (outcomes == ["completed", "sent"]).then_some(())
        })
        .await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// A copy that can never be processed meets one that is being processed just now: it is a duplicate, and not parked
/// beside it.
#[tokio::test]
async fn what_is_being_claimed_is_not_parked_at_the_same_time() {
    run(async |stack| {
        let mut client = stack.database.client().await;
        let claiming = client.transaction().await.unwrap();
        let claim = "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at)
                     VALUES ('shopify', 'w1', 'orders/paid', sha256('another body'), 'completed', now())";
        claiming.execute(claim, &[]).await.unwrap();
        let worker = worker(&stack).await;
        stack.publish(&webhook("w1", "orders/paid", b"{\"id\":".to_vec())).await;
        until("the worker waits for the claim", || async {
            (stack.database.sessions_waiting_for_a_lock().await > 0).then_some(())
        })
        .await;
        claiming.commit().await.unwrap();
        number(&stack, "SELECT sum(duplicates + changed_bodies)::int8 FROM processed_webhooks", 2).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}
