//! Effects that fail, told attempt by attempt.

use serde_json::json;
use testing::orders::Order;
use testing::run;
use testing::state::{number, processed, stock};

use super::{Console, OPERATOR};
use crate::scene::{Worker, json as command};

#[tokio::test]
async fn the_failure_of_a_mail_that_was_sent_in_the_end_stays_on_record() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let order = Order::of(1, &format!("reject-once@{}", stack.mail_domain), &["MUG"]).webhook("w1");
        stack.publish(&shared::message::Message { traceparent, ..order }).await;
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation' AND state = 'failed'", 1).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let id = stack.database.number("SELECT id FROM outbox").await;
        console.act("/outbox/resend", json!({ "ids": [id] }), 200).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND last_error IS NULL", 1).await;
        let story = console.api("/webhooks/shopify/w1").await;
        let attempts = story["effect_attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "what succeeded left no row: {attempts:?}");
        assert_eq!((&attempts[0]["outcome"], &attempts[0]["attempt"]), (&"failed".into(), &1.into()));
        let life: Vec<&str> =
            story["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
        let told = |what: &str| life.iter().position(|moment| moment.starts_with(what));
        assert!(told("order-confirmation failed: ").unwrap() < told("order-confirmation sent").unwrap(), "{life:?}");
        assert!(life.iter().any(|moment| moment.contains("550")), "{life:?}");
        let shown = command(&stack, &["webhooks", "show", "shopify", "w1"]).await;
        assert_eq!(shown["effect_attempts"], story["effect_attempts"]);
        // When its body is purged, its trace is that of what it brought about.
        stack.database.execute("TRUNCATE webhook_payloads").await;
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(console.api("/webhooks/shopify/w1").await["trace_id"], trace);
        assert!(browser.page("/webhooks/shopify/w1").await.contains(trace));
        worker.stop().await;
    })
    .await;
}
