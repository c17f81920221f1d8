//! One look says what is wrong.

use shared::db::parked_webhooks::ParkReason;
use testing::run;
use testing::wait::until;

use super::{Console, OPERATOR};
use crate::scene::{Worker, orders, park};

/// Waits until the overview tells of this, or no longer does.
async fn told(console: &Console, concern: &str, expected: bool) {
    until(&format!("{concern:?} is told: {expected}"), || async {
        let overview = console.api("/overview").await;
        let is_known =
            !overview["queues"].as_array().unwrap().is_empty() && !overview["outbox"].as_array().unwrap().is_empty();
        let is_told = overview["concerns"].to_string().contains(concern);
        (is_known && is_told == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn workers_that_come_and_go_what_is_parked_and_what_waits_are_told() {
    run(async |stack| {
        let first = Worker::start(&stack).await;
        let console = Console::start(&stack).await;
        told(&console, "no worker takes from the queue", false).await;
        first.stop().await;
        told(&console, "no worker takes from the queue", true).await;
        park(&stack, &orders(&stack, 2), ParkReason::Plan).await;
        told(&console, "parked: plan (2)", true).await;
        stack
            .database
            .execute(
                "INSERT INTO outbox (dedupe_key, effect, kind, intent, attempts, next_attempt_at, last_error)
                 VALUES ('k', 'order-confirmation', 'email', '{}', 1, now() + interval '1 hour', 'cannot connect to the mail server')",
            )
            .await;
        told(&console, "order-confirmation: 1 could not be sent and wait to be tried again: cannot connect", true).await;
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page("/").await;
        assert!(page.contains("Something is wrong") && page.contains("no worker takes from the queue"), "{page}");
        assert!(browser.page("/overview/now").await.contains("id=\"verdict\""));
    })
    .await;
}

#[tokio::test]
async fn an_ingest_that_does_not_answer_and_a_spool_that_fills_are_told() {
    run(async |stack| {
        let console = Console::start_with(
            &stack,
            &[
                ("CONSOLE_OPERATOR_TOKEN", OPERATOR),
                ("INGEST_OPS_URL", "http://127.0.0.1:1"),
                ("WORKER_OPS_URL", "http://localhost:1"),
            ],
        )
        .await;
        told(&console, "ingest at 127.0.0.1:1: it is not there", true).await;
        told(&console, "worker at", true).await;
        let series = console.api("/overview/series?minutes=1").await;
        assert_eq!(series["at"].as_array().unwrap().len(), series["p99_ms"].as_array().unwrap().len());
    })
    .await;
}

#[tokio::test]
async fn readiness_tells_when_postgres_is_away_and_back() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        assert_eq!(console.readiness(200).await["reasons"], serde_json::json!([]));
        stack.database.take_away().await;
        assert_eq!(console.readiness(503).await["reasons"], serde_json::json!(["the database does not answer"]));
        stack.database.bring_back().await;
        console.readiness(200).await;
    })
    .await;
}

#[tokio::test]
async fn what_takes_long_to_count_makes_no_console_unready() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        told(&console, "Postgres", false).await;
        let mut holder = stack.database.client().await;
        let transaction = holder.transaction().await.unwrap();
        transaction.batch_execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
        // What waits for the lock is not counted, and that is told.
        until("the count has failed", || async {
            let overview = console.api("/overview").await;
            overview["concerns"].to_string().contains("Postgres: ").then_some(())
        })
        .await;
        assert_eq!(console.readiness(200).await["reasons"], serde_json::json!([]));
        transaction.rollback().await.unwrap();
        told(&console, "Postgres: ", false).await;
    })
    .await;
}

#[tokio::test]
async fn the_console_counts_its_pages_and_who_is_refused() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        console.api("/webhooks").await;
        for path in ["/no/such", "/../etc"] {
            console.get(path).send().await.unwrap();
        }
        let refused = console.get("/api/v1/outbox").bearer_auth("guessed").send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let metrics = console.metrics().await;
        for line in [
            "http_server_request_duration_seconds_count{http_route=\"/api/v1/outbox\",http_response_status_code=\"401\"} 1",
            "console_login_refusals_total{reason=\"wrong_token\"} 1",
            "console_jobs_running 0",
            "oncehook_build_info{service=\"console\"",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        assert!(!metrics.contains("etc") && !metrics.contains("gone"), "a path is no label: {metrics}");
    })
    .await;
}
