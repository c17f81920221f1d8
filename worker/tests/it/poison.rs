//! What cannot be processed is parked, alone and with a reason; its neighbours pass.

use std::collections::BTreeSet;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use shared::message::{self, Message};
use testing::mail::received;
use testing::orders::{Order, webhook};
use testing::process::Service;
use testing::run;
use testing::wait::{until, until_within};

use crate::scene::{
    assert_no_drift, count_parked, curse, lift_curse, number, options, parked, processed, quantity, quick, quicken,
    stock, worker, worker_with,
};

#[tokio::test]
async fn poison_among_neighbours_stands_alone() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let to = format!("a@{}", stack.mail_domain);
        for id in 1..=40 {
            stack.publish(&Order::of(id, &to, &["MUG"]).webhook(&format!("good-{id}"))).await;
            if id == 7 {
                stack.publish(&Order::of(1007, &to, &["NO-SUCH-SKU", "MUG"]).webhook("unknown-sku")).await;
            }
            if id == 15 {
                stack.publish(&webhook("no-json", "orders/paid", b"{\"id\":".to_vec())).await;
            }
            if id == 20 {
                let negative = Order { lines: vec![(Some("MUG".to_owned()), -5)], ..Order::of(1020, &to, &[]) };
                stack.publish(&negative.webhook("negative")).await;
            }
            if id == 33 {
                // Valid JSON, and still Postgres refuses it: the transaction itself fails.
                let body = String::from_utf8(Order::of(1033, &to, &["MUG"]).body()).unwrap();
                let nul = body.replace("Thing 1", "Thing \\u0000");
                assert_ne!(nul, body);
                stack.publish(&webhook("nul", "orders/paid", nul.into_bytes())).await;
                let topic = message::Message {
                    topic: "orders/\0paid".to_owned(),
                    ..Order::of(1034, &to, &["MUG"]).webhook("control")
                };
                stack.publish(&topic).await;
            }
        }
        let worker = worker(&stack).await;
        processed(&stack, 40).await;
        assert_eq!(parked(&stack, "unknown-sku", 1).await, ["unknown-sku"]);
        assert_eq!(parked(&stack, "plan", 2).await, ["negative", "no-json"]);
        assert_eq!(quantity(&stack, "MUG").await, 960);
        assert_no_drift(&stack).await;
        number(&stack, "SELECT count(*) FROM webhook_failures WHERE outcome = 'park'", 5).await;
        assert_eq!(parked(&stack, "data", 1).await, ["nul"]);
        assert_eq!(parked(&stack, "unreadable", 1).await, ["control"]);
        // The operator hears of it: one mail a reason.
        until("the operator has a mail for each reason", || async {
            let mails = received(&stack.mail_domain).await;
            let alerts = mails.iter().filter(|mail| mail.to[0].address.starts_with("operator@"));
            let subjects: BTreeSet<&str> = alerts.map(|mail| mail.subject.as_str()).collect();
            (subjects.len() == 4).then_some(())
        })
        .await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_line_that_one_effect_skips_still_parks_for_another() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let skipping = |text: &str| {
            let effect = "[effects.inventory.some-stock]\nunknown_sku = \"skip\"\nmap = '.line_items[] | { order: .id, line: .id, sku, quantity }'";
            let route = "[routes.some]\nsources = [\"shopify\"]\ntopics = [\"orders/create\"]\neffects = [\"some-stock\"]";
            format!("{}\n{effect}\n{route}\n", quicken(text))
        };
        let to = format!("a@{}", stack.mail_domain);
        for id in 1..=20 {
            let body = Order::of(id, &to, &["FOO", "MUG"]).body();
            let (topic, name) = if id % 2 == 0 { ("orders/create", "skips") } else { ("orders/paid", "parks") };
            stack.publish(&webhook(&format!("{name}-{id:02}"), topic, body)).await;
        }
        let worker = worker_with(&stack, &stack.configure(skipping)).await;
        processed(&stack, 10).await;
        let ids = parked(&stack, "unknown-sku", 10).await;
        assert!(ids.iter().all(|id| id.starts_with("parks-")), "{ids:?}");
        assert_eq!(quantity(&stack, "MUG").await, 990);
        number(&stack, "SELECT count(*) FROM processed_webhooks WHERE skips::text LIKE '%no SKU%FOO%'", 10).await;
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_parked_webhook_that_comes_again_after_the_cause_is_mended_is_resolved() {
    run(async |stack| {
        let worker = worker(&stack).await;
        let order = Order::of(5, &format!("a@{}", stack.mail_domain), &["LATE"]);
        stack.publish(&order.webhook("w5")).await;
        parked(&stack, "unknown-sku", 1).await;
        number(&stack, "SELECT count(*) FROM processed_webhooks", 0).await;
        stock(&stack, &["LATE"]).await;
        stack.publish(&order.webhook("w5")).await;
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", 1).await;
        assert_eq!(quantity(&stack, "LATE").await, 999);
        drop(worker);
    })
    .await;
}

/// Neither of two bodies that came under one id, and both fail, is the last copy of the other.
#[tokio::test]
async fn what_is_parked_is_not_overwritten_by_another_body() {
    run(async |stack| {
        let worker = worker(&stack).await;
        let order = |sku: &str| Order::of(8, &format!("a@{}", stack.mail_domain), &[sku]).webhook("w8");
        stack.publish(&order("LATE")).await;
        assert_eq!(parked(&stack, "unknown-sku", 1).await, ["w8"]);
        stack.publish(&order("NEVER")).await;
        parked(&stack, "unknown-sku", 2).await;
        assert_eq!((count_parked(&stack, &order("LATE")).await, count_parked(&stack, &order("NEVER")).await), (1, 1));
        // The same body again is the same row again.
        stack.publish(&order("NEVER")).await;
        stack.publish(&order("LATE")).await;
        number(&stack, "SELECT sum(generation)::int8 FROM parked_webhooks", 4).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE replay_of = 'w8'", 1).await;
        // What was parked first is the webhook; the other one still waits for a person.
        stock(&stack, &["LATE"]).await;
        stack.publish(&order("LATE")).await;
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved' AND webhook_id = 'w8'", 1).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked' AND replay_of = 'w8'", 1).await;
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_version_is_parked_with_its_body() {
    run(async |stack| {
        let worker = worker(&stack).await;
        let message = Order::of(1, "a@b.example", &["MUG"]).webhook("from-the-future");
        let properties = message::encode(&message).unwrap();
        let mut headers: FieldTable = properties.headers().clone().unwrap();
        headers.insert("oncehook".into(), AMQPValue::LongString(r#"{"version":99,"parts":[]}"#.into()));
        let connection = stack.broker().await;
        let channel = connection.create_channel().await.unwrap();
        let queue = stack.topology.webhooks();
        channel
            .basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                &message.body,
                properties.with_headers(headers),
            )
            .await
            .unwrap();
        assert_eq!(parked(&stack, "unreadable", 1).await, ["from-the-future"]);
        let client = stack.database.client().await;
        let row = client.query_one("SELECT body, detail FROM parked_webhooks", &[]).await.unwrap();
        assert_eq!(row.get::<_, &[u8]>("body"), message.body.as_ref());
        assert!(row.get::<_, &str>("detail").contains("envelope version 99"), "{}", row.get::<_, &str>("detail"));
        connection.close(200, "done".into()).await.unwrap();
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_older_than_the_ids_that_are_kept_is_parked() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        // Ids are kept for 31 days, and the shop sends again for 4 hours: the first copy may have been processed, and its
        // id be forgotten, so much sooner.
        let received = |id: u64, name: &str, hours_ago: i64| {
            let webhook = Order::of(id, "a@b.example", &["MUG"]).webhook(name);
            Message { received_at: webhook.received_at - time::Duration::hours(hours_ago), ..webhook }
        };
        stack.publish(&received(1, "old", 31 * 24 - 3)).await;
        stack.publish(&received(2, "young", 31 * 24 - 5)).await;
        assert_eq!(parked(&stack, "too-old", 1).await, ["old"]);
        processed(&stack, 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        drop(worker);
    })
    .await;
}

/// A failure that may pass goes up the ladder, and is parked when every rung was used.
#[tokio::test]
async fn the_ladder_is_climbed_and_then_the_webhook_is_parked() {
    run(async |stack| {
        stock(&stack, &["MUG", "CURSED"]).await;
        curse(&stack).await;
        let worker = worker(&stack).await;
        let to = format!("a@{}", stack.mail_domain);
        stack.publish(&Order::of(1, &to, &["CURSED"]).webhook("cursed-for-ever")).await;
        stack.publish(&Order::of(2, &to, &["MUG"]).webhook("innocent")).await;
        processed(&stack, 1).await;
        assert_eq!(parked(&stack, "retries-exhausted", 1).await, ["cursed-for-ever"]);
        number(&stack, "SELECT count(*) FROM webhook_failures WHERE outcome = 'retry'", 2).await;
        number(&stack, "SELECT attempts::int8 FROM parked_webhooks", 2).await;
        stack.publish(&Order::of(3, &to, &["CURSED"]).webhook("cursed-for-a-while")).await;
        number(&stack, "SELECT count(*) FROM webhook_failures WHERE webhook_id = 'cursed-for-a-while'", 1).await;
        lift_curse(&stack).await;
        processed(&stack, 2).await;
        assert_eq!(quantity(&stack, "CURSED").await, 999);
        drop(worker);
    })
    .await;
}

/// An expression that never returns ends the worker. The message is run alone after a few
/// deliveries and parked when the broker gives it up; its neighbours pass.
#[tokio::test]
async fn a_webhook_that_ends_every_worker_is_isolated_and_parked() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let endless = "filter = 'if .id == 666 then (def f: f; f) else .test != true end'";
        let config = stack.configure(|text| testing::replace(&quicken(text), r#"filter = ".test != true""#, endless));
        let to = format!("a@{}", stack.mail_domain);
        for id in 1..=5 {
            stack.publish(&Order::of(id, &to, &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        stack.publish(&Order::of(666, &to, &["MUG"]).webhook("beast")).await;
        for id in 6..=10 {
            stack.publish(&Order::of(id, &to, &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        until_within(std::time::Duration::from_secs(120), "the beast is parked", || async {
            let mut worker = Service::spawn_worker(&stack, &options(&config));
            let ended = tokio::select! {
                _ = worker.wait() => true,
                _ = parked(&stack, "dead-lettered", 1) => false,
            };
            (!ended).then_some(())
        })
        .await;
        let last = worker_with(&stack, &quick(&stack)).await;
        processed(&stack, 10).await;
        assert_eq!(quantity(&stack, "MUG").await, 990);
        number(&stack, "SELECT count(*) FROM parked_webhooks", 1).await;
        assert!(last.terminate().await.success());
    })
    .await;
}
