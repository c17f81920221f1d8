//! Redriving and discarding from the console.

use serde_json::json;
use shared::db::parked_webhooks::ParkReason;
use testing::orders::webhook;
use testing::run;
use testing::wait::until;

use super::{Console, OPERATOR};
use crate::scene::{orders, park, queued};

const OPEN: &str = "SELECT count(*) FROM parked_webhooks WHERE state = 'parked'";

#[tokio::test]
async fn a_filter_is_tried_then_redriven_and_the_rest_stays() {
    run(async |stack| {
        park(&stack, &orders(&stack, 120), ParkReason::UnknownSku).await;
        park(&stack, &[webhook("other", "orders/paid", b"{}".to_vec())], ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let page = console.api("/parked?reason=unknown-sku").await;
        assert_eq!(page["reasons"][0]["rows"], 120);
        assert_eq!(page["parked"].as_array().unwrap().len(), 50);
        let next: String = url::form_urlencoded::byte_serialize(page["next"].as_str().unwrap().as_bytes()).collect();
        let second = console.api(&format!("/parked?reason=unknown-sku&after={next}")).await;
        assert_ne!(second["parked"][0]["webhook_id"], page["parked"][0]["webhook_id"]);

        let filter = json!({ "filter": { "reason": "unknown-sku" }, "dry_run": true });
        let tried = console.act("/parked/redrive", filter, 202).await;
        let tried = console.job(&tried).await;
        assert_eq!((&tried["total"], &tried["report"]["tense"]), (&120.into(), &"would".into()));
        assert_eq!(stack.database.number(OPEN).await, 121);
        let job =
            console.act("/parked/redrive", json!({ "filter": { "reason": "unknown-sku" }, "rate": 0 }), 202).await;
        let job = console.job(&job).await;
        assert_eq!((&job["done"], &job["state"]), (&120.into(), &"ended".into()), "{job}");
        queued(&stack, 120).await;
        assert_eq!(stack.database.number(OPEN).await, 1);
        let audit = console.api("/audit").await;
        let row = &audit["actions"][0];
        assert_eq!(
            (&row["action"], &row["person"], &row["outcome"]),
            (&"parked.redrive".into(), &"ada".into(), &"done".into())
        );
        assert_eq!(row["subject"], "reason=unknown-sku");
        assert!(row["detail"].as_str().unwrap().contains("120 webhooks redriven"), "{row}");
    })
    .await;
}

/// By itself, for as long as it runs; then it says what came of it.
#[tokio::test]
async fn the_page_of_a_job_that_runs_shows_how_far_it_is() {
    run(async |stack| {
        park(&stack, &orders(&stack, 600), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let job = console.act("/parked/redrive", json!({ "filter": {}, "rate": 1 }), 202).await;
        let (page, part) = (format!("/jobs/{}", job["id"]), format!("/jobs/{}/now", job["id"]));
        for path in [&page, &part] {
            let (shown, done) = until("some are done, and not all", || async {
                let shown = browser.page(path).await;
                let done: u64 = shown.split("<progress value=\"").nth(1)?.split('"').next().unwrap().parse().unwrap();
                (done > 0).then_some((shown, done))
            })
            .await;
            assert!(shown.contains(&format!(">{done} of 600 webhooks …<")) && shown.contains("max=\"600\""), "{shown}");
            assert!(shown.contains("data-job-state=\"running\""), "{shown}");
            assert!(shown.contains(&format!("hx-get=\"{part}\" hx-trigger=\"every 1s\"")), "{shown}");
        }
        console.act(&format!("/jobs/{}/stop", job["id"]), json!({}), 202).await;
        console.job(&job).await;
        let ended = browser.page(&part).await;
        assert!(ended.contains("data-job-state=\"ended\"") && ended.contains(" redriven"), "{ended}");
        assert!(!ended.contains("<progress") && !ended.contains("hx-get"), "{ended}");
        // A page that was open while the console was started anew asks no more.
        let gone = browser.page("/jobs/7/now").await;
        assert!(gone.contains("data-job-state=\"gone\"") && !gone.contains("hx-get"), "{gone}");
    })
    .await;
}

#[tokio::test]
async fn a_job_is_found_again_and_stopped_and_what_it_did_stands() {
    run(async |stack| {
        park(&stack, &orders(&stack, 600), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let tried = console.act("/parked/redrive", json!({ "filter": {}, "dry_run": true }), 202).await;
        console.job(&tried).await;
        let job = console.act("/parked/redrive", json!({ "filter": {}, "rate": 1 }), 202).await;
        let jobs = console.api("/jobs").await;
        assert_eq!(
            (&jobs[0]["id"], &jobs[0]["state"], &jobs[0]["person"]),
            (&job["id"], &"running".into(), &"ada".into())
        );
        assert_eq!((&jobs[1]["id"], &jobs[1]["dry_run"]), (&tried["id"], &true.into()));
        let page = browser.page("/jobs").await;
        assert!(page.contains("href=\"/jobs/2\"") && page.contains("running") && page.contains("dry run"), "{page}");
        until("some are done", || async {
            (console.api(&format!("/jobs/{}", job["id"])).await["done"].as_u64() > Some(0)).then_some(())
        })
        .await;

        let path = format!("/jobs/{}/stop", job["id"]);
        assert!(browser.page(&format!("/jobs/{}", job["id"])).await.contains(&format!("action=\"{path}\"")));
        // Of a page that was open before the console was started anew, that is another job.
        let fields = [("csrf", browser.csrf.as_str()), ("begun", "1764447000")];
        let other = browser.form(&path, &fields).header("sec-fetch-site", "same-origin").send().await.unwrap();
        assert_eq!(other.status(), 409);
        assert_eq!(browser.submit(&path, &[]).await, format!("/jobs/{}", job["id"]));
        let stopped = console.job(&job).await;
        let done = stopped["done"].as_i64().unwrap();
        assert!(done < 600 && stopped["text"].as_str().unwrap().contains("! stopped: interrupted"), "{stopped}");
        assert_eq!(stack.database.number(OPEN).await, 600 - done);
        assert!(browser.page("/jobs").await.contains("<span class=\"chip warn\">stopped</span>"));
        let again = console.act(&path, json!({}), 409).await;
        assert_eq!(again["type"], "urn:oncehook:problem:conflict");
        let dry = console.act(&format!("/jobs/{}/stop", tried["id"]), json!({}), 409).await;
        assert!(dry["detail"].as_str().unwrap().contains("a dry run changes nothing"), "{dry}");
        console.act("/jobs/7/stop", json!({}), 404).await;

        let audit = console.api("/audit").await;
        let told = |at: usize| ["action", "person", "outcome"].map(|field| audit["actions"][at][field].clone());
        assert_eq!(told(0), ["job.stop", "Ada", "done"].map(serde_json::Value::from));
        assert_eq!(told(1), ["parked.redrive", "ada", "failed"].map(serde_json::Value::from));
    })
    .await;
}

#[tokio::test]
async fn a_query_that_cannot_be_read_stays_to_be_mended() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page("/parked?reason=unknown-sku").await;
        assert!(
            page.contains("<option selected>unknown-sku</option>") && page.contains("<option>plan</option>"),
            "{page}"
        );
        for path in ["/parked?since=yesterday&topic=orders%2Fpaid", "/webhooks?since=yesterday&topic=orders%2Fpaid"] {
            let answer = console.get(path).header("cookie", &browser.cookie).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{path}");
            let page = answer.text().await.unwrap();
            assert!(page.contains("role=\"alert\"") && page.contains("yesterday"), "{path}: {page}");
            assert!(page.contains("value=\"orders/paid\"") && !page.contains("Nothing waits"), "{path}: {page}");
        }
    })
    .await;
}

/// What a job did before it was stopped stands in its report and in the audit.
#[tokio::test]
async fn a_job_that_fails_on_its_second_page_tells_what_it_did_on_the_first() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1_000), ParkReason::Plan).await;
        park(&stack, &[webhook("last", "orders/paid", b"{}".to_vec())], ParkReason::Plan).await;
        // From the first page's discarding on, the second page holds what this version cannot read.
        stack
            .database
            .execute(
                "ALTER TABLE parked_webhooks DROP CONSTRAINT parked_webhooks_reason;
                 CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF pg_trigger_depth() = 1 THEN
                        UPDATE parked_webhooks SET reason = 'unheard of' WHERE webhook_id = 'last';
                    END IF;
                    RETURN NULL;
                 END $$;
                 CREATE TRIGGER spoil AFTER UPDATE ON parked_webhooks FOR EACH STATEMENT EXECUTE FUNCTION spoil()",
            )
            .await;
        let console = Console::start(&stack).await;
        let job = console.act("/parked/discard", json!({ "filter": {}, "because": "a test" }), 202).await;
        let job = console.job(&job).await;
        assert_eq!(
            (&job["state"], &job["report"]["webhooks"][0]["webhooks"]),
            (&"ended".into(), &1_000.into()),
            "{job}"
        );
        assert!(job["text"].as_str().unwrap().contains("! stopped: cannot read the parked webhooks"), "{job}");
        let audit = console.api("/audit").await;
        let row = &audit["actions"][0];
        assert_eq!((&row["action"], &row["outcome"]), (&"parked.discard".into(), &"failed".into()));
        assert!(row["detail"].as_str().unwrap().contains("1000 webhooks discarded"), "{row}");
    })
    .await;
}

/// Four jobs that take minutes, and somebody who wants to look what goes on.
#[tokio::test]
async fn as_many_jobs_as_may_run_keep_nobody_out() {
    run(async |stack| {
        park(&stack, &orders(&stack, 100), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let slowly = json!({ "filter": {}, "rate": 1 });
        for _ in 0..4 {
            let job = console.act("/parked/redrive", slowly.clone(), 202).await;
            let path = format!("/jobs/{}", job["id"]);
            until("the job has begun", || async { (console.api(&path).await["done"] != 0).then_some(()) }).await;
        }
        console.act("/parked/redrive", slowly, 503).await;
        console.log_in(OPERATOR).await.page("/audit").await;
        let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'oncehook console jobs'";
        assert_eq!(stack.database.number(held).await, 4);
    })
    .await;
}

#[tokio::test]
async fn on_the_page_all_that_match_are_tried_first() {
    run(async |stack| {
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        park(&stack, &[webhook("other", "orders/paid", b"{}".to_vec())], ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let form = [("do", "redrive"), ("scope", "filter"), ("reason", "unknown-sku")];
        let tried = browser.submit("/parked/act", &[&form[..], &[("run", "go")]].concat()).await;
        let dry = console.job_at(&tried).await;
        assert_eq!((&dry["dry_run"], &dry["total"], &dry["unit"]), (&true.into(), &3.into(), &"webhooks".into()));
        assert_eq!(stack.database.number(OPEN).await, 4);
        let page = browser.page(&tried).await;
        assert!(page.contains("Do it") && page.contains("name=\"run\" value=\"do\""), "{page}");
        let done = browser.submit("/parked/act", &[&form[..], &[("run", "do")]].concat()).await;
        assert_eq!(console.job_at(&done).await["done"], 3);
        queued(&stack, 3).await;
        assert_eq!(stack.database.number(OPEN).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_selection_is_discarded_with_its_reason_and_can_be_brought_back() {
    run(async |stack| {
        park(&stack, &orders(&stack, 3), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let fields = [
            ("key", "shopify/w1"),
            ("key", "shopify/w3"),
            ("do", "discard"),
            ("because", "a test order"),
            ("run", "do"),
        ];
        let job = browser.submit("/parked/act", &fields).await;
        let job = console.job_at(&job).await;
        assert!(job["text"].as_str().unwrap().contains("2 webhooks discarded"), "{job}");
        assert_eq!(stack.database.number(OPEN).await, 1);
        let page = browser.page("/parked?state=discarded").await;
        assert!(page.contains("a test order") && page.contains("w3") && !page.contains(">w2<"), "{page}");
        // Without a reason nothing is discarded, and somebody who is late changes nothing.
        let keys = json!([{ "source": "shopify", "webhook_id": "w1" }]);
        console.act("/parked/discard", json!({ "webhooks": keys }), 400).await;
        let late = console.act("/parked/discard", json!({ "webhooks": keys, "because": "again" }), 202).await;
        assert_eq!(console.job(&late).await["report"]["webhooks"], json!([]));
        // One of them is brought back from the list of what is discarded, the other by a filter.
        let page = browser.page("/webhooks/shopify/w1").await;
        assert!(page.contains("It was discarded") && page.contains("name=\"state\" value=\"discarded\""), "{page}");
        let fields =
            [("key", "shopify/w1"), ("key", "shopify/w2"), ("state", "discarded"), ("do", "redrive"), ("run", "go")];
        let back = browser.submit("/parked/act", &fields).await;
        assert_eq!(console.job_at(&back).await["done"], 1);
        queued(&stack, 1).await;
        let unclear = json!({ "filter": {}, "state": "discarded" });
        console.act("/parked/redrive", unclear, 400).await;
        let back = console.act("/parked/redrive", json!({ "filter": { "state": "discarded" } }), 202).await;
        assert_eq!(console.job(&back).await["done"], 1);
        queued(&stack, 2).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_refused_here_too_until_it_is_accepted() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::TooOld).await;
        let console = Console::start(&stack).await;
        let keys = json!([{ "source": "shopify", "webhook_id": "w1" }]);
        let refused = console.act("/parked/redrive", json!({ "webhooks": keys }), 202).await;
        let refused = console.job(&refused).await;
        assert_eq!(refused["report"]["refused"][0]["webhooks"], 1, "{refused}");
        let taken = console.act("/parked/redrive", json!({ "webhooks": keys, "accept": ["too-old"] }), 202).await;
        assert_eq!(console.job(&taken).await["done"], 1);
        queued(&stack, 1).await;
        for bad in [
            json!({}),
            json!({ "webhooks": keys, "filter": {} }),
            json!({ "filter": { "reason": "boredom" } }),
            json!({ "unknown": 1 }),
        ] {
            let problem = console.act("/parked/redrive", bad, 400).await;
            assert_eq!(problem["type"], "urn:oncehook:problem:malformed");
        }
    })
    .await;
}
