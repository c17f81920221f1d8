//! Finding webhooks, telling their life, replaying them.

use std::collections::BTreeSet;

use testing::orders::{Order, webhook};
use testing::run;
use testing::state::{processed, stock};
use testing::wait::until;

use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;

use super::{Console, OPERATOR};
use crate::scene::{Worker, park};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_webhook_is_found_by_id_key_and_text_and_its_life_is_told() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        let traceparent = Some(format!("00-{TRACE}-b7ad6b7169203331-01"));
        let headers =
            vec![("x-api-token".to_owned(), "s3cr3t-of-the-header".to_owned()), ("x-shop".to_owned(), "a".to_owned())];
        let order = Order::of(1001, &format!("Zoe@{}", stack.mail_domain), &["MUG"]);
        stack.publish(&Message { traceparent, headers, ..order.webhook("gid://shop/1") }).await;
        stack.publish(&order.webhook("gid://shop/1")).await;
        processed(&stack, 1).await;
        testing::state::number(&stack, "SELECT duplicates::int8 FROM processed_webhooks", 1).await;
        testing::state::number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 1).await;
        let console = Console::start(&stack).await;
        let customer = format!("q=zoe%40{}", stack.mail_domain);
        for query in [
            "q=gid%3A%2F%2Fshop%2F1",
            "q=%231001",
            &customer,
            "text=Thing+1&since=1h",
            "topic=orders%2Fpaid",
            "status=duplicated",
        ] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!(found["webhooks"].as_array().unwrap().len(), 1, "{query}: {found}");
            assert_eq!(found["webhooks"][0]["webhook_id"], "gid://shop/1");
        }
        for query in ["q=100", "text=Thing+9", "topic=orders", "status=skipped", "source=github", "since=2h&until=1h"] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!(found["webhooks"], serde_json::json!([]), "{query}");
        }
        let story = console.api("/webhooks/shopify/gid:%2F%2Fshop%2F1").await;
        assert_eq!((&story["trace_id"], &story["now"]["duplicates"]), (&TRACE.into(), &1.into()));
        assert_eq!(story["headers"], serde_json::json!({ "x-api-token": "***", "x-shop": "a" }));
        assert_eq!(story["effects"][0]["state"], "sent");
        assert!(story["body"].as_str().unwrap().contains("\n  \"name\": \"#1001\""));
        let life: Vec<&str> =
            story["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
        assert_eq!(life[0], "received and answered 2xx");
        assert!(life.contains(&"processed: completed") && life.contains(&"order-confirmation sent"), "{life:?}");
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page("/webhooks/shopify/gid:%2F%2Fshop%2F1").await;
        assert!(
            page.contains(TRACE) && !page.contains("s3cr3t-of-the-header") && page.contains("Run it again"),
            "{page}"
        );
        let raw = console.get("/api/v1/bodies/shopify/gid:%2F%2Fshop%2F1").bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(raw.headers()["content-type"], "application/octet-stream");
        assert_eq!(raw.bytes().await.unwrap(), order.body());
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_tried_first_then_done_and_written_down() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("w1")).await;
        processed(&stack, 1).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let form = [("source", "shopify"), ("webhook_id", "w1"), ("name", "again"), ("resend", "yes")];
        let dry = browser.submit("/webhooks/replay", &[&form[..], &[("run", "dry")]].concat()).await;
        let tried = console.job_at(&dry).await;
        assert!(tried["text"].as_str().unwrap().contains("1 webhook would be replayed; nothing is changed"), "{tried}");
        assert!(browser.page(&dry).await.contains("Do it"));
        let done = browser.submit("/webhooks/replay", &[&form[..], &[("run", "do")]].concat()).await;
        processed(&stack, 2).await;
        assert!(browser.page(&done).await.contains("replay"));
        let story = console.api("/webhooks/shopify/w1").await;
        assert_eq!(story["replays"].as_array().unwrap().len(), 1);
        testing::state::number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation'", 2).await;
        let written = "SELECT count(*) FROM console_audit WHERE action = 'webhooks.replay' AND person = 'Ada' AND outcome = 'done'";
        testing::state::number(&stack, written, 1).await;
        // What is no webhook cannot be replayed.
        let job = console.act("/replays", serde_json::json!({ "source": "shopify", "webhook_id": "nobody" }), 202).await;
        assert_eq!(console.job(&job).await["state"], "failed");
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_replays_form_that_is_submitted_twice_runs_once() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = Worker::start(&stack).await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("w1")).await;
        processed(&stack, 1).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let made_up = |page: &str| {
            let field = page.split("<input name=\"name\" value=\"").nth(1).unwrap();
            field.split('"').next().unwrap().to_owned()
        };
        let name = made_up(&browser.page("/webhooks/shopify/w1").await);
        assert_ne!(name, made_up(&browser.page("/webhooks/shopify/w1").await), "a page is a run of its own");
        let form = [("source", "shopify"), ("webhook_id", "w1"), ("name", &name), ("resend", "yes")];
        let dry = browser.submit("/webhooks/replay", &[&form[..], &[("run", "dry")]].concat()).await;
        until("the dry run has ended", || async {
            let page = browser.page(&dry).await;
            page.contains("Do it").then(|| assert!(page.contains(&format!("name=\"name\" value=\"{name}\"")), "{page}"))
        })
        .await;
        let click = async |form: &[(&str, &str)]| {
            let job = browser.submit("/webhooks/replay", &[form, &[("run", "do")]].concat()).await;
            console.job_at(&job).await
        };
        let first = click(&form).await;
        assert!(first["text"].as_str().unwrap().contains("1 webhook replayed"), "{first}");
        processed(&stack, 2).await;
        // Again, and with other options: what the run has done, it has done with those of the first time.
        for form in [&form[..], &form[..3]] {
            let second = click(form).await;
            assert!(second["text"].as_str().unwrap().contains("the run has done it already"), "{second}");
        }
        assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 2);
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox").await, 2, "it went out again once");
        let nameless = [("source", "shopify"), ("webhook_id", "w1"), ("csrf", &browser.csrf), ("run", "do")];
        assert_eq!(browser.form("/webhooks/replay", &nameless).send().await.unwrap().status(), 400);
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn thousands_are_paged_without_a_gap_or_a_repetition() {
    run(async |stack| {
        // Many share a moment, as a batch's do.
        stack
            .database
            .execute(
                "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                 SELECT CASE WHEN n % 7 = 0 THEN 'github' ELSE 'shopify' END, 'w' || n, 'orders/paid', sha256(''),
                        CASE WHEN n % 500 = 0 THEN 'skipped' ELSE 'completed' END, now(), now() - (n / 40) * interval '1 second'
                 FROM generate_series(1, 5000) AS n",
            )
            .await;
        park(&stack, &[webhook("parked", "orders/paid", b"{}".to_vec())], ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        assert_eq!(walked(&console, "").await.len(), 5_001);
        assert_eq!(walked(&console, "source=github").await.len(), 5_000 / 7);
        assert_eq!(walked(&console, "status=skipped").await.len(), 10);
        assert_eq!(walked(&console, "status=parked").await, BTreeSet::from(["parked".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn a_text_is_looked_for_page_by_page() {
    run(async |stack| {
        stack
            .database
            .execute(
                "WITH new AS (
                    INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at)
                    SELECT 'shopify', 'w' || n, 'orders/paid', sha256(''), 'completed', now()
                    FROM generate_series(1, 3000) AS n RETURNING source, webhook_id)
                 INSERT INTO webhook_payloads (source, webhook_id, body)
                 SELECT source, webhook_id, convert_to('{\"note\":\"of ' || right(webhook_id, 1) || '\"}', 'UTF8') FROM new",
            )
            .await;
        park(&stack, &[webhook("parked", "orders/paid", b"{\"note\":\"of 7\"}".to_vec())], ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        assert_eq!(walked(&console, "text=of+7").await.len(), 301);
        assert_eq!(walked(&console, "text=of+7&status=parked").await.len(), 1);
        assert_eq!(walked(&console, "text=of+x").await.len(), 0);
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page("/webhooks?text=of+7").await;
        assert!(page.contains("/webhooks?text=of+7&#38;after=") || page.contains("/webhooks?text=of+7&amp;after="), "{page}");
    })
    .await;
}

async fn walked(console: &Console, query: &str) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page = console.api(&format!("/webhooks?{query}&after={after}")).await;
        for webhook in page["webhooks"].as_array().unwrap() {
            assert!(ids.insert(webhook["webhook_id"].as_str().unwrap().to_owned()), "seen twice: {webhook}");
        }
        let Some(next) = page["next"].as_str() else { return ids };
        after = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    }
}

#[tokio::test]
async fn a_strangers_body_stays_text() {
    run(async |stack| {
        let hostile = r#"{"name":"<script>alert(1)</script><img src=x onerror=alert(1)>"}"#;
        park(&stack, &[webhook("<b>w</b>", "<i>t</i>", hostile.as_bytes().to_vec())], ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        for path in ["/webhooks", "/parked", "/webhooks/shopify/%3Cb%3Ew%3C%2Fb%3E", "/webhooks?q=%3Cscript%3E"] {
            let page = browser.page(path).await;
            for markup in ["<script>alert", "<img src=x", "<b>w", "<i>t"] {
                assert!(!page.contains(markup), "{path}: {markup}");
            }
        }
    })
    .await;
}
