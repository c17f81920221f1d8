//! Effects that fail: found among fresh ones, told attempt by attempt, steered one and many.

use std::collections::BTreeSet;

use serde_json::json;
use testing::orders::Order;
use testing::run;
use testing::state::{number, processed, stock};

use super::{Console, OPERATOR};
use crate::scene::{Worker, json as command};

const FRESH: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, next_attempt_at)
    SELECT 'fresh-' || n, 'order-confirmation', 'email', 'shopify', 'fresh-' || n, '{}', now() + interval '1 hour'
    FROM generate_series(1, 300) AS n";
const TRIED: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, attempts, last_error, next_attempt_at)
    SELECT 'tried-' || n, CASE WHEN n = 1 THEN 'tell-warehouse' ELSE 'order-confirmation' END, 'email', 'shopify', 'w' || n, '{}',
           3, '451 try later', now() + interval '2 hours'
    FROM generate_series(1, 3) AS n";

fn keys(page: &serde_json::Value) -> Vec<&str> {
    page["effects"].as_array().unwrap().iter().map(|row| row["dedupe_key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_fails_is_listed_by_itself_and_what_one_webhook_brought_about_too() {
    run(async |stack| {
        stack.database.execute(TRIED).await;
        stack.database.execute(FRESH).await;
        stack
            .database
            .execute("UPDATE outbox SET state = 'sent', settled_at = now() WHERE dedupe_key = 'fresh-7'")
            .await;
        let console = Console::start(&stack).await;
        assert_eq!(keys(&console.api("/outbox?show=failing").await), ["tried-3", "tried-2", "tried-1"]);
        assert_eq!(keys(&console.api("/outbox?show=failing&effect=tell-warehouse").await), ["tried-1"]);
        assert_eq!(keys(&console.api("/outbox?webhook=fresh-7").await), ["fresh-7"], "whatever its state");
        assert_eq!(keys(&console.api("/outbox?webhook=fresh-7&show=pending").await), Vec::<&str>::new());
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page("/outbox?show=failing").await;
        let due = console.api("/outbox?webhook=w2").await["effects"][0]["next_attempt_at"].as_str().unwrap().to_owned();
        assert!(page.contains("Next attempt") && page.contains(&format!("datetime=\"{due}\"")), "{page}");
        assert!(page.contains("name=\"effect\"") && page.contains("name=\"webhook\""), "{page}");
        assert_eq!(
            keys(&command(&stack, &["outbox", "ls", "--state", "failing"]).await),
            ["tried-3", "tried-2", "tried-1"]
        );
        assert_eq!(keys(&command(&stack, &["outbox", "ls", "--webhook", "fresh-7"]).await), ["fresh-7"]);
    })
    .await;
}

/// What a person has just sent again keeps its last error until it is tried.
#[tokio::test]
async fn as_many_fail_as_the_list_of_what_fails_has() {
    run(async |stack| {
        stack.database.execute(TRIED).await;
        stack.database.execute("UPDATE outbox SET attempts = 0 WHERE dedupe_key = 'tried-2'").await;
        let console = Console::start(&stack).await;
        assert_eq!(keys(&console.api("/outbox?show=failing&effect=order-confirmation").await), ["tried-3"]);
        let told = command(&stack, &["outbox", "destinations"]).await;
        let one = told["destinations"].as_array().unwrap().iter().find(|one| one["effect"] == "order-confirmation");
        let one = one.unwrap();
        assert_eq!((&one["pending"], &one["failing"]), (&2.into(), &1.into()), "{one}");
        let page = console.log_in(OPERATOR).await.page("/outbox").await;
        assert!(page.contains("effect=order-confirmation\">1 failed"), "{page}");
    })
    .await;
}

/// As in earnest, what is not there is left alone.
#[tokio::test]
async fn what_is_only_tried_by_number_may_be_missing() {
    run(async |stack| {
        stack.database.execute(TRIED).await;
        let console = Console::start(&stack).await;
        let tried = console.act("/outbox/hold", json!({ "ids": [2, 3, 999], "dry_run": true }), 202).await;
        let tried = console.job(&tried).await;
        assert_eq!(
            (&tried["report"]["effects"][0]["rows"], &tried["report"]["missing"]),
            (&2.into(), &1.into()),
            "{tried}"
        );
        assert!(tried["text"].as_str().unwrap().contains("! 1 effect not held: it is not in the outbox"), "{tried}");
        let held = console.act("/outbox/hold", json!({ "ids": [2, 3, 999] }), 200).await;
        assert_eq!((&held["changed"], &held["left_alone"]), (&json!([2, 3]), &1.into()));
    })
    .await;
}

#[tokio::test]
async fn pages_of_effects_and_of_actions_go_on_where_the_last_ended() {
    run(async |stack| {
        stack.database.execute(FRESH).await;
        let actions = "
            INSERT INTO console_audit (person, role, via, peer, action, subject, outcome, finished_at)
            SELECT 'ada', 'operator', 'api', '127.0.0.1', 'outbox.hold', 'all', 'done', now() FROM generate_series(1, 300)";
        stack.database.execute(actions).await;
        let console = Console::start(&stack).await;
        for (path, rows) in [("/outbox?show=pending", "effects"), ("/audit?", "actions")] {
            let (mut seen, mut pages) = (BTreeSet::new(), 0);
            let mut next = Some(path.to_owned());
            while let Some(page) = next.take() {
                let page = console.api(&page).await;
                let ids = page[rows].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap());
                assert!(ids.into_iter().all(|id| seen.insert(id)), "{path}: a row on two pages");
                pages += 1;
                next = page["next"].as_i64().map(|before| format!("{path}&before={before}"));
            }
            assert!(seen.len() >= 300 && pages > 2, "{path}: {} rows on {pages} pages", seen.len());
        }
    })
    .await;
}

#[tokio::test]
async fn all_that_match_are_tried_first_then_done_as_a_job() {
    run(async |stack| {
        stack.database.execute(TRIED).await;
        stack.database.execute(FRESH).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let form = [("do", "hold"), ("scope", "filter"), ("show", "pending"), ("effect", "order-confirmation")];
        let tried = browser.submit("/outbox/act", &form).await;
        let dry = console.job_at(&tried).await;
        assert_eq!((&dry["dry_run"], &dry["total"], &dry["unit"]), (&true.into(), &302.into(), &"effects".into()));
        assert!(dry["text"].as_str().unwrap().contains("302 effects would be held; nothing is changed"), "{dry}");
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE state = 'held'").await, 0);
        let page = browser.page(&tried).await;
        assert!(page.contains("Do it") && page.contains("name=\"run\" value=\"do\""), "{page}");
        let done = browser.submit("/outbox/act", &[&form[..], &[("run", "do")]].concat()).await;
        let done = console.job_at(&done).await;
        assert_eq!((&done["done"], &done["report"]["effects"][0]["rows"]), (&302.into(), &302.into()), "{done}");
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE state = 'held'").await, 302);
        // What is acted on is what was shown: nothing that is held or failed can be held.
        let shown = browser.submit("/outbox/act", &[("do", "hold"), ("scope", "filter"), ("show", "")]).await;
        let shown = console.job_at(&shown).await;
        assert!(shown["text"].as_str().unwrap().contains("302 effects not held: the state is held"), "{shown}");
        // By the API, and what is only tried by number.
        let job = console.act("/outbox/cancel", json!({ "filter": { "show": "held" } }), 202).await;
        assert_eq!(console.job(&job).await["report"]["effects"][0]["rows"], 302);
        let tried = console.act("/outbox/resend", json!({ "ids": [2, 3], "dry_run": true }), 202).await;
        assert_eq!(console.job(&tried).await["report"]["tense"], "would");
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE state = 'cancelled'").await, 302);
        console.act("/outbox/hold", json!({ "ids": [1], "filter": {} }), 400).await;
        let audit = console.api("/audit").await;
        assert_eq!(audit["actions"][0]["subject"], "all held");
        let entry = console.api(&format!("/audit/{}", audit["actions"][0]["id"])).await;
        assert_eq!(entry["request"], json!({ "filter": { "show": "held" } }));
    })
    .await;
}

#[tokio::test]
async fn a_mail_that_failed_is_sent_again_from_its_webhooks_page_and_its_failure_stays_on_record() {
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
        let page = browser.page("/webhooks/shopify/w1").await;
        let id = stack.database.number("SELECT id FROM outbox").await.to_string();
        let (boxed, action) = (format!("name=\"id\" value=\"{id}\""), "action=\"/outbox/act\"");
        assert!(page.contains(&boxed) && page.contains(action) && page.contains("Send again"), "{page}");
        let form = [("do", "resend"), ("id", &id), ("source", "shopify"), ("webhook_id", "w1")];
        let back = browser.submit("/outbox/act", &form).await;
        assert!(back.starts_with("/webhooks/shopify/w1?"), "{back}");
        assert!(browser.page(&back).await.contains("1 put back to be sent."));
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
