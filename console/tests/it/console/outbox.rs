//! Sending again, holding, cancelling, pausing.

use serde_json::json;
use testing::orders::Order;
use testing::run;
use testing::state::{number, processed, stock};
use testing::wait::until;

use super::{Console, OPERATOR};
use crate::scene::{Worker, service_that_says};

/// One row of each state, numbered from 1: pending, sending, sent, held, failed, cancelled.
const ROWS: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, state, ambiguous, attempts, lease_until, settled_at,
                        next_attempt_at, last_error)
    SELECT 'key-' || state, 'order-confirmation', 'email', 'shopify', 'w1', '{}', state, state = 'held', 48,
           CASE WHEN state = 'sending' THEN now() + interval '1 hour' END,
           CASE WHEN state IN ('sent', 'failed', 'cancelled') THEN now() END, now() + interval '1 hour', 'for a test'
    FROM unnest(ARRAY['pending', 'sending', 'sent', 'held', 'failed', 'cancelled']) AS state";

#[tokio::test]
async fn rows_are_steered_from_where_they_may_be_and_from_nowhere_else() {
    run(async |stack| {
        stack.database.execute(ROWS).await;
        let console = Console::start(&stack).await;
        let listed = console.api("/outbox").await;
        let states: Vec<&str> = listed["effects"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["failed", "held"], "what needs a person");
        assert_eq!(console.api("/outbox?show=ambiguous").await["effects"][0]["state"], "held");
        assert_eq!(console.api("/outbox?show=pending").await["effects"][0]["dedupe_key"], "key-pending");
        let all = json!({ "ids": [1, 2, 3, 4, 5, 6, 99] });
        let held = console.act("/outbox/hold", all.clone(), 200).await;
        assert_eq!((&held["changed"], &held["left_alone"]), (&json!([1]), &6.into()));
        let cancelled = console.act("/outbox/cancel", all.clone(), 200).await;
        assert_eq!(cancelled["changed"], json!([1, 4, 5]));
        let resent = console.act("/outbox/resend", all.clone(), 200).await;
        assert_eq!(resent["changed"], json!([1, 4, 5, 6]));
        let due = "SELECT count(*) FROM outbox WHERE state = 'pending' AND attempts = 0 AND next_attempt_at <= now() AND settled_at IS NULL";
        assert_eq!(stack.database.number(due).await, 4);
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE state IN ('sending', 'sent')").await, 2);
        let browser = console.log_in(OPERATOR).await;
        let back = browser.submit("/outbox/act", &[("id", "1"), ("id", "4"), ("do", "hold"), ("show", "held")]).await;
        assert!(browser.page(&back).await.contains("2 held."));
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit WHERE action LIKE 'outbox.%' AND outcome = 'done'").await, 4);
        console.act("/outbox/resend", json!({ "ids": [] }), 400).await;
    })
    .await;
}

#[tokio::test]
async fn a_paused_destination_is_passed_over_until_it_is_resumed() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let console = Console::start(&stack).await;
        console
            .act("/destinations/order-confirmation/pause", json!({ "because": "the shop's server moves" }), 204)
            .await;
        console.act("/destinations/order-confirmation/pause", json!({ "because": "twice" }), 409).await;
        // Of a name that was mistyped nothing would be paused.
        console.act("/destinations/order-confirmations/pause", json!({ "because": "a typo" }), 400).await;
        let worker = Worker::start(&stack).await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("w1")).await;
        processed(&stack, 1).await;
        // What is not paused goes out meanwhile, though it was planned later.
        let alert = format!(
            "INSERT INTO outbox (dedupe_key, effect, kind, intent) VALUES ('alert', 'operator-alert', 'email',
             '{{\"to\":\"b@{}\",\"subject\":\"s\",\"text\":\"t\"}}')",
            stack.mail_domain
        );
        stack.database.execute(&alert).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'operator-alert' AND state = 'sent'", 1).await;
        let waiting =
            "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation' AND state = 'pending' AND attempts = 0";
        assert_eq!(stack.database.number(waiting).await, 1);
        until("what waits for it is counted", || async {
            let destinations = console.api("/destinations").await;
            let one =
                destinations.as_array().unwrap().iter().find(|one| one["effect"] == "order-confirmation").unwrap();
            assert_eq!((&one["health"], &one["paused"]["paused_by"]), (&"paused".into(), &"ada".into()), "at once");
            (one["pending"] == 1).then_some(())
        })
        .await;
        let browser = console.log_in(OPERATOR).await;
        assert!(browser.page("/outbox").await.contains("server moves"));
        assert_eq!(browser.submit("/outbox/resume", &[("effect", "order-confirmation")]).await, "/outbox");
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation' AND state = 'sent'", 1).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_is_away_is_told_with_its_breaker() {
    run(async |stack| {
        let away = "webhook_destination_up{effect=\"order-confirmation\"} 0\n\
                    webhook_effect_breaker{effect=\"order-confirmation\"} 2\n";
        let url = service_that_says(away).await;
        let environment = [("CONSOLE_OPERATOR_TOKEN", OPERATOR), ("WORKER_OPS_URL", url.as_str())];
        let console = Console::start_with(&stack, &environment).await;
        until("the worker has been asked", || async {
            let destinations = console.api("/destinations").await;
            let one =
                destinations.as_array().unwrap().iter().find(|one| one["effect"] == "order-confirmation").unwrap();
            (one["health"] == "away" && one["breaker"] == "open" && one["up"] == false).then_some(())
        })
        .await;
        let browser = console.log_in(OPERATOR).await;
        assert!(browser.page("/outbox").await.contains("breaker open"));
        let overview = console.api("/overview").await["concerns"].to_string();
        assert!(overview.contains("order-confirmation: no worker reaches where it goes"), "{overview}");
    })
    .await;
}
