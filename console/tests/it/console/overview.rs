//! One look says what is wrong.

use shared::db::parked_webhooks::ParkReason;
use testing::run;
use testing::wait::until;

use super::{Console, OPERATOR};
use crate::scene::{Worker, orders, park, service_that_says};

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
async fn pages_without_anything_to_show_say_why_and_what_to_do() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        for (path, says) in [
            ("/webhooks", "oncehook send SOURCE"),
            ("/webhooks?q=nothing", "Show the newest"),
            ("/parked", "Nothing waits. A webhook parks when"),
            ("/parked?state=discarded", "Show all that wait"),
            ("/outbox", "No effect waits for a person"),
            ("/outbox?webhook=nothing", "Look for the webhook"),
        ] {
            let page = browser.page(path).await;
            assert!(page.contains(says), "{path}: {page}");
        }
        let parked = browser.page("/parked").await;
        assert_eq!(parked.matches("class=\"empty card\"").count(), 1, "{parked}");
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
        let full = service_that_says(
            "webhook_spool_files 3\nwebhook_spool_bytes 4000000\nwebhook_spool_bytes_limit 4100000\n\
             webhook_spool_oldest_age_seconds 61\nwebhook_spool_deferred_files 1\n",
        )
        .await;
        let console = Console::start_with(
            &stack,
            &[
                ("CONSOLE_OPERATOR_TOKEN", OPERATOR),
                ("INGEST_OPS_URL", &format!("http://127.0.0.1:1,{full}")),
                ("WORKER_OPS_URL", "http://localhost:1"),
            ],
        )
        .await;
        told(&console, "ingest at 127.0.0.1:1: it is not there (no answer yet)", true).await;
        told(&console, "worker at", true).await;
        let address = full.trim_start_matches("http://");
        let fills = format!("ingest at {address} keeps webhooks in its spool: 3 files, 4.0 MB, the oldest for 61 s");
        told(&console, &fills, true).await;
        told(&console, &format!("ingest at {address} cannot read, publish or remove 1 files of its spool"), true).await;
        told(&console, &format!("spool.max_bytes of {address} is 98 % used"), true).await;
        let series = console.api("/overview/series?minutes=1").await;
        assert_eq!(series["at"].as_array().unwrap().len(), series["p99_ms"].as_array().unwrap().len());
    })
    .await;
}

#[tokio::test]
async fn what_has_gone_is_told_with_the_time_of_its_last_answer() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        told(&console, "Postgres", false).await;
        stack.database.take_away().await;
        until("the time of Postgres' last answer is told", || async {
            let overview = console.api("/overview").await["concerns"].to_string();
            (overview.contains("Postgres: ") && overview.contains("(last answer ")).then_some(())
        })
        .await;
        // Who is logged in reads it, too, although sessions are in Postgres; who is not is nobody.
        for page in ["/", "/overview/now"] {
            assert!(browser.page(page).await.contains("Postgres: "), "{page}");
        }
        let stranger = console.get("/").header("cookie", "oncehook_session=guessed").send().await.unwrap();
        assert_eq!(stranger.status(), 503);
        let fields = [("csrf", browser.csrf.as_str()), ("sku", "MUG"), ("quantity", "7")];
        let acted =
            browser.form("/inventory/set", &fields).header("sec-fetch-site", "same-origin").send().await.unwrap();
        assert_eq!(acted.status(), 503, "nobody knows whether the session has ended");
        // Who goes is gone from this browser in any case.
        let left = browser.form("/logout", &[]).header("sec-fetch-site", "same-origin").send().await.unwrap();
        assert_eq!(left.status(), 303);
        assert!(left.headers()["set-cookie"].to_str().unwrap().starts_with("oncehook_session=;"));
        let forgotten = console.get("/").header("cookie", &browser.cookie).send().await.unwrap();
        assert_eq!(forgotten.status(), 503);
        stack.database.bring_back().await;
    })
    .await;
}

#[tokio::test]
async fn the_bytes_that_wait_are_told_beside_the_limit() {
    run(async |stack| {
        stack.publish(&orders(&stack, 1).remove(0)).await;
        let metrics_url = testing::services::setting("RABBITMQ_METRICS_URL");
        let environment = [("CONSOLE_OPERATOR_TOKEN", OPERATOR), ("RABBITMQ_METRICS_URL", metrics_url.as_str())];
        let console = Console::start_with(&stack, &environment).await;
        until("RabbitMQ has counted the bytes, and the console has asked", || async {
            let overview = console.api("/overview").await;
            let limits = overview["limits"].as_array().unwrap().clone();
            let bytes = limits.into_iter().find(|limit| limit["setting"] == "queue.max_bytes")?;
            (bytes["used"].as_f64().unwrap() > 100.0).then_some(())
        })
        .await;
        let overview = console.api("/overview").await;
        let settings: Vec<_> =
            overview["limits"].as_array().unwrap().iter().map(|limit| limit["setting"].as_str().unwrap()).collect();
        assert!(settings.contains(&"max_connections") && settings.contains(&"CONSOLE_JOBS"), "{settings:?}");
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
            assert_eq!(console.get(path).send().await.unwrap().status(), 404);
        }
        let refused = console.get("/api/v1/outbox").bearer_auth("guessed").send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let metrics = console.metrics().await;
        for line in [
            "http_server_request_duration_seconds_count{http_route=\"/api/v1/outbox\",http_response_status_code=\"401\"} 1",
            "http_server_request_duration_seconds_count{http_route=\"none\",http_response_status_code=\"404\"} 2",
            "console_login_refusals_total{reason=\"wrong_token\"} 1",
            "console_jobs_running 0",
            "oncehook_spans_total{outcome=\"dropped\"} 0",
            "oncehook_build_info{service=\"console\"",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        assert!(!metrics.contains("etc") && !metrics.contains("such"), "a path is no label: {metrics}");
    })
    .await;
}
