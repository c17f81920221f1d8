//! `oncehook webhooks` and `oncehook sources`: one webhook among many is found, and its story is told.

use serde_json::Value;
use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;
use testing::run;
use testing::state::{number, processed, stock};

use crate::scene::{Worker, command, json, oncehook, orders, park, service_that_says, text};

#[tokio::test]
async fn the_story_of_a_webhook_is_told_from_receipt_to_mail() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let orders = orders(&stack, 2).into_iter().map(|order| Message { traceparent: traceparent.clone(), ..order });
        let orders: Vec<_> = orders.collect();
        for order in [&orders[0], &orders[0], &orders[1]] {
            stack.publish(order).await;
        }
        let worker = Worker::start(&stack).await;
        processed(&stack, 2).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 2).await;
        number(&stack, "SELECT sum(duplicates) FROM processed_webhooks", 1).await;
        worker.stop().await;

        let story = json(&stack, &["webhooks", "show", "shopify", "w1"]).await;
        assert_eq!((&story["status"], &story["duplicates"]), (&"completed".into(), &1.into()));
        assert_eq!(
            (&story["effects"][0]["effect"], &story["effects"][0]["state"]),
            (&"order-confirmation".into(), &"sent".into())
        );
        let events = story["timeline"].as_array().unwrap();
        let told = |what: &str| events.iter().position(|event| event["what"].as_str().unwrap().starts_with(what));
        assert!(told("received").unwrap() < told("processed: completed").unwrap(), "{events:?}");
        assert!(told("order-confirmation planned").unwrap() < told("order-confirmation sent").unwrap());
        assert!(told("arrived again once; counted, not repeated").is_some(), "{events:?}");
        let raw = oncehook(&stack, &["webhooks", "show", "shopify", "w1", "--raw"]).await;
        assert_eq!(raw.stdout, orders[0].body, "byte for byte");
        let page = text(&oncehook(&stack, &["webhooks", "show", "shopify", "w1"]).await.stdout);
        assert_eq!(story["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert!(page.contains("trace             0af7651916cd43dd8448eb211c80319c"), "{page}");
        assert!(page.contains("order-confirmation sent") && page.contains("\"line_items\": ["), "{page}");

        let sources = json(&stack, &["sources"]).await;
        let shopify =
            sources["sources"].as_array().unwrap().iter().find(|source| source["source"] == "shopify").unwrap();
        assert_eq!((&shopify["day"]["webhooks"], &shopify["day"]["duplicates"]), (&2.into(), &1.into()));
        assert!(shopify["last_received_at"].is_string() && shopify["parked"] == 0, "{shopify}");
    })
    .await;
}

#[tokio::test]
async fn a_parked_one_is_shown_too_and_its_source_needs_a_person() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::UnknownSku).await;
        let story = json(&stack, &["webhooks", "show", "shopify", "w1"]).await;
        assert_eq!(
            (&story["status"], &story["timeline"][1]["what"]),
            (&"parked".into(), &"parked: unknown-sku".into())
        );
        let sources = oncehook(&stack, &["sources"]).await;
        assert_eq!(sources.status.code(), Some(3));
        assert!(text(&sources.stdout).contains("! parked of shopify: 1"), "{sources:?}");
        let unknown = oncehook(&stack, &["webhooks", "show", "shopify", "nothing"]).await;
        assert_eq!(unknown.status.code(), Some(1));
        assert!(text(&unknown.stderr).contains("nothing is known of a webhook nothing"), "{unknown:?}");
    })
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    run(async |stack| {
        stack
            .database
            .execute(
                "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                 SELECT CASE WHEN n % 3 = 0 THEN 'github' ELSE 'shopify' END, 'w/' || n, 'topic-' || n % 2, sha256('x'),
                        CASE WHEN n % 5 = 0 THEN 'skipped' ELSE 'completed' END, now(), now() - (n / 10) * interval '1 s'
                 FROM generate_series(1, 3000) AS n",
            )
            .await;
        let ids = |page: &Value| {
            let webhooks = page["webhooks"].as_array().unwrap().iter();
            webhooks.map(|webhook| webhook["webhook_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let filter = ["webhooks", "ls", "--source", "shopify", "--topic", "topic-1", "--status", "completed"];
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut arguments = [&filter[..], &["--limit", "300"]].concat();
            arguments.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
            let page = json(&stack, &arguments).await;
            found.extend(ids(&page));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        let expected = "SELECT count(*) FROM processed_webhooks WHERE source = 'shopify' AND topic = 'topic-1' AND status = 'completed'";
        assert_eq!(found.len() as i64, stack.database.number(expected).await);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 800, "none came twice");

        let of_time = json(&stack, &["webhooks", "ls", "--since", "100s", "--until", "10s", "--limit", "1000"]).await;
        assert!((890..=910).contains(&ids(&of_time).len()), "{}", ids(&of_time).len());
        let by_id = json(&stack, &["webhooks", "ls", "w/9"]).await;
        assert_eq!(by_id["webhooks"][0]["source"], "github");
        let none = text(&oncehook(&stack, &["webhooks", "ls", "--source", "nobody"]).await.stdout);
        assert!(none.contains("no such webhook was processed, is parked or is retried"), "{none}");
    })
    .await;
}

#[tokio::test]
async fn an_order_is_found_by_its_number_its_customer_and_any_text_of_its_body() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let orders = orders(&stack, 3);
        for order in &orders[..2] {
            stack.publish(order).await;
        }
        let worker = Worker::start(&stack).await;
        processed(&stack, 2).await;
        worker.stop().await;
        park(&stack, &orders[2..], ParkReason::UnknownSku).await;
        let found = async |arguments: &[&str]| {
            let page = json(&stack, &[&["webhooks", "ls"], arguments].concat()).await;
            let webhooks = page["webhooks"].as_array().unwrap().iter();
            webhooks.map(|webhook| webhook["webhook_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let customer = format!("Order-2@{}", stack.mail_domain);
        for query in [vec!["#2"], vec!["2"], vec![&customer], vec!["--text", "order-2@"], vec!["w2"]] {
            assert_eq!(found(&query).await, ["w2"], "{query:?}");
        }
        assert_eq!(found(&["#3"]).await, ["w3"], "parked, and found by its body");
        assert_eq!(found(&["--text", "order-", "--status", "completed"]).await.len(), 2);
        assert_eq!(found(&["--status", "parked"]).await, ["w3"]);
        assert_eq!(found(&["#2", "--status", "parked"]).await, Vec::<String>::new());
        let short = oncehook(&stack, &["webhooks", "ls", "--text", "#2"]).await;
        assert!(text(&short.stderr).contains("a text of at least 3 bytes"), "{short:?}");
        let part = text(&oncehook(&stack, &["webhooks", "ls", "order-2@"]).await.stdout);
        assert!(part.contains("an id or key has to be whole"), "{part}");
        assert_eq!(
            json(&stack, &["webhooks", "show", "#2"]).await["webhook_id"],
            "w2",
            "one webhook alone has that key"
        );
        let none = oncehook(&stack, &["webhooks", "show", "#4"]).await;
        assert!(text(&none.stderr).contains("no webhook with the id or key #4 is known"), "{none:?}");
    })
    .await;
}

/// A body that was parked is what the webhook came with, also after what was stored of it has gone.
#[tokio::test]
async fn a_body_is_shown_from_wherever_it_is_kept() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let order = orders(&stack, 1).remove(0);
        park(&stack, std::slice::from_ref(&order), ParkReason::UnknownSku).await;
        stack.publish(&order).await;
        let worker = Worker::start(&stack).await;
        processed(&stack, 1).await;
        worker.stop().await;
        stack.database.execute("TRUNCATE webhook_payloads").await;
        let raw = oncehook(&stack, &["webhooks", "show", "shopify", "w1", "--raw"]).await;
        assert_eq!(raw.stdout, order.body);
        // Another body that was parked under its id is not its own.
        stack.database.execute("UPDATE parked_webhooks SET body_sha256 = sha256('another')").await;
        let none = oncehook(&stack, &["webhooks", "show", "shopify", "w1", "--raw"]).await;
        assert!(text(&none.stderr).contains("its body is not there"), "{none:?}");
    })
    .await;
}

#[tokio::test]
async fn what_a_source_was_refused_is_told_with_the_reason() {
    run(async |stack| {
        let ingest = service_that_says(
            "webhook_requests_total{source=\"shopify\",outcome=\"signature_refused\"} 4\n\
             webhook_verification_failures_total{source=\"shopify\",reason=\"signature_mismatch\"} 4\n\
             webhook_failed_answers_in_a_row{source=\"shopify\"} 9\n\
             webhook_failed_answers_tolerated{source=\"shopify\"} 8\n\
             webhook_secret_last_used_timestamp_seconds{source=\"shopify\",secret=\"1\"} 1750000000\n",
        )
        .await;
        let asked = command(&stack, &["sources"]).env("INGEST_OPS_URL", &ingest).output().await.unwrap();
        let page = text(&asked.stdout);
        assert_eq!(asked.status.code(), Some(3), "{page}");
        let said =
            ["not genuine: signature_mismatch", "! the subscription of shopify is at risk: 9 webhooks", "LAST SIGNED"];
        assert!(said.iter().all(|words| page.contains(words)), "{page}");
        let unasked = text(&oncehook(&stack, &["sources"]).await.stdout);
        assert!(unasked.contains("what was refused is not known: INGEST_OPS_URL says where ingest is"), "{unasked}");
    })
    .await;
}
