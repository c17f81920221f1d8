//! What is on the retry ladder is found by id, by number, and in the list; what is still on its way is counted.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testing::orders::Order;
use testing::state::{number, quicken, stock};
use testing::wait::until;
use testing::{Stack, replace, run};

use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;

use super::{Console, OPERATOR};
use crate::scene::{Worker, json as command, oncehook, orders, park, text};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CURSE: &str = "
    CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'cursed'; END $$;
    CREATE TRIGGER curse BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION curse()";

/// An order of a cursed shop that has failed twice, and stays on the ladder from then on.
async fn cursed(stack: &Stack) {
    stock(stack, &["MUG"]).await;
    stack.database.execute(CURSE).await;
    let slow = |text: &str| replace(&quicken(text), "retry_delays_s = [1, 2]", "retry_delays_s = [1, 600]");
    let worker = Worker::with(stack, &stack.configure(slow)).await;
    let order = Order::of(1001, &format!("Zoe@{}", stack.mail_domain), &["MUG"]).webhook("cursed");
    stack.publish(&Message { traceparent: Some(format!("00-{TRACE}-b7ad6b7169203331-01")), ..order }).await;
    number(stack, "SELECT count(*) FROM webhook_failures WHERE outcome = 'retry'", 2).await;
    worker.stop().await;
    assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 0);
}

fn ids(page: &Value) -> Vec<&str> {
    page["webhooks"].as_array().unwrap().iter().map(|webhook| webhook["webhook_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_order_that_has_failed_twice_is_found_by_id_and_by_number() {
    run(async |stack| {
        cursed(&stack).await;
        let console = Console::start(&stack).await;
        let customer = format!("q=zoe%40{}", stack.mail_domain);
        for query in [
            "q=cursed",
            "q=%231001",
            &customer,
            "",
            "status=retrying",
            "topic=orders%2Fpaid",
            "source=shopify&since=1h",
        ] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!(ids(&found), ["cursed"], "{query}: {found}");
            let one = &found["webhooks"][0];
            assert_eq!((&one["status"], &one["failed_attempts"]), (&"retrying".into(), &2.into()), "{query}");
        }
        for query in ["q=%231002", "q=%231001&status=parked", "q=cursed&until=1h", "status=parked", "topic=orders"] {
            assert_eq!(ids(&console.api(&format!("/webhooks?{query}")).await), Vec::<&str>::new(), "{query}");
        }
        let story = console.api("/webhooks/shopify/cursed").await;
        assert_eq!(
            (&story["trace_id"], &story["now"]["topic"]),
            (&TRACE.into(), &"orders/paid".into()),
            "no body is there"
        );
        let life: Vec<&str> =
            story["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
        assert_eq!(life[0], "received and answered 2xx");
        assert!(life[2].starts_with("attempt 2 failed, to be tried again: "), "{life:?}");
        let page = console.log_in(OPERATOR).await.page("/webhooks/shopify/cursed").await;
        assert!(page.contains(TRACE) && page.contains("retrying"), "{page}");

        for query in [&["cursed"][..], &["#1001"], &["--status", "retrying"], &[]] {
            let found = command(&stack, &[&["webhooks", "ls"], query].concat()).await;
            assert_eq!(ids(&found), ["cursed"], "{query:?}");
        }
        assert_eq!(command(&stack, &["webhooks", "show", "shopify", "cursed"]).await["trace_id"], TRACE);
    })
    .await;
}

/// Once it is processed, its keys are those of its claim, and it is in the list once.
#[tokio::test]
async fn what_has_left_the_ladder_is_found_where_it_is() {
    run(async |stack| {
        cursed(&stack).await;
        stack.database.execute("UPDATE webhook_search_keys SET stored_on = stored_on - 1").await;
        stack.database.execute("DROP TRIGGER curse ON inventory_ledger").await;
        let order = Order::of(1001, &format!("Zoe@{}", stack.mail_domain), &["MUG"]);
        stack.publish(&order.webhook("cursed")).await; // its provider sends it again
        let worker = Worker::start(&stack).await;
        testing::state::processed(&stack, 1).await;
        worker.stop().await;
        let console = Console::start(&stack).await;
        for query in ["q=cursed", "q=%231001", ""] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!(ids(&found), ["cursed"], "{query}");
            assert_eq!(found["webhooks"][0]["status"], "completed");
        }
        let today = "SELECT count(*) FROM webhook_search_keys WHERE stored_on < (now() AT TIME ZONE 'UTC')::date";
        assert_eq!(stack.database.number(today).await, 0, "kept for as long as the body");
    })
    .await;
}

/// When its id is forgotten, its failures are still on record, and tell of no other attempt.
#[tokio::test]
async fn what_was_processed_is_not_retried_again_when_its_id_is_purged() {
    run(async |stack| {
        cursed(&stack).await;
        stack
            .database
            .execute("UPDATE webhook_failures SET occurred_at = occurred_at - interval '32 days' WHERE attempt = 1")
            .await;
        stack.database.execute("DELETE FROM webhook_failures WHERE attempt = 0").await;
        let console = Console::start(&stack).await;
        for query in ["q=cursed", "q=%231001", "", "status=retrying"] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!(ids(&found), Vec::<&str>::new(), "{query}");
        }
        let story = console.api("/webhooks/shopify/cursed").await;
        assert_eq!((&story["now"], &story["failures"][0]["outcome"]), (&Value::Null, &"retry".into()));
        let page = console.log_in(OPERATOR).await.page("/webhooks/shopify/cursed").await;
        assert!(page.contains("forgotten") && !page.contains("retrying"), "{page}");
        assert_eq!(command(&stack, &["webhooks", "show", "shopify", "cursed"]).await["status"], "forgotten");
        // A day before, nobody has forgotten it yet.
        stack.database.execute("UPDATE webhook_failures SET occurred_at = occurred_at + interval '2 days'").await;
        assert_eq!(ids(&console.api("/webhooks?status=retrying").await), ["cursed"]);
        assert_eq!(command(&stack, &["webhooks", "show", "shopify", "cursed"]).await["status"], "retrying");
    })
    .await;
}

/// Its provider sends what a person has given up again, and it fails again.
#[tokio::test]
async fn what_was_discarded_and_fails_again_is_retried() {
    run(async |stack| {
        cursed(&stack).await;
        let order = Order::of(1001, &format!("Zoe@{}", stack.mail_domain), &["MUG"]).webhook("cursed");
        park(&stack, &[order], ParkReason::Plan).await;
        stack.database.execute("UPDATE webhook_failures SET occurred_at = occurred_at - interval '1 hour'").await;
        let console = Console::start(&stack).await;
        let stands = async |standing: &str| {
            for query in ["q=cursed", "q=%231001", "", &format!("status={standing}")] {
                let found = console.api(&format!("/webhooks?{query}")).await;
                assert_eq!(
                    (ids(&found), &found["webhooks"][0]["status"]),
                    (vec!["cursed"], &standing.into()),
                    "{query}"
                );
            }
            for other in ["parked", "discarded", "retrying"].into_iter().filter(|other| *other != standing) {
                let found = console.api(&format!("/webhooks?status={other}")).await;
                assert_eq!(ids(&found), Vec::<&str>::new(), "{other}");
            }
            assert_eq!(console.api("/webhooks/shopify/cursed").await["now"]["status"], standing);
            assert_eq!(command(&stack, &["webhooks", "show", "shopify", "cursed"]).await["status"], standing);
        };
        stands("parked").await;
        command(&stack, &["parked", "discard", "shopify", "cursed", "--because", "a test"]).await;
        stands("discarded").await;
        stack.database.execute("UPDATE webhook_failures SET occurred_at = now()").await;
        stands("retrying").await;
        stack.database.execute("UPDATE parked_webhooks SET state = 'parked'").await;
        stands("parked").await;
    })
    .await;
}

/// What is parked is found by its keys, without reading the bodies of all that is.
#[tokio::test]
async fn what_a_worker_parks_has_keys() {
    run(async |stack| {
        let worker = Worker::start(&stack).await;
        stack
            .publish(&Order::of(1001, &format!("Zoe@{}", stack.mail_domain), &["NO-SUCH-SKU"]).webhook("parked"))
            .await;
        testing::state::parked(&stack, "unknown-sku", 1).await;
        worker.stop().await;
        stack.database.execute("UPDATE parked_webhooks SET body = ''").await;
        let console = Console::start(&stack).await;
        for query in ["q=parked", "q=%231001", &format!("q=zoe%40{}", stack.mail_domain)] {
            let found = console.api(&format!("/webhooks?{query}")).await;
            assert_eq!((ids(&found), &found["webhooks"][0]["status"]), (vec!["parked"], &"parked".into()), "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn who_finds_nothing_is_told_how_many_are_still_on_their_way() {
    run(async |stack| {
        cursed(&stack).await;
        for order in orders(&stack, 3) {
            stack.publish(&order).await; // and nobody takes them
        }
        let console = Console::start(&stack).await;
        let waiting = json!({ "queued": 3, "retrying": 1, "spool_files": null });
        until("the queues have been looked at", || async {
            let found = console.api("/webhooks?q=%232").await;
            assert_eq!(found["webhooks"], json!([]), "it is in the queue");
            (found["still_waiting"] == waiting).then_some(())
        })
        .await;
        let page = console.log_in(OPERATOR).await.page("/webhooks?q=%232").await;
        let told = "3 in the queue and an unknown number of files in the spool";
        assert!(page.contains("No webhook matches") && page.contains(told), "{page}");
        let said = text(&oncehook(&stack, &["webhooks", "ls", "#2"]).await.stdout);
        assert!(said.contains(told) && said.contains("1 on the retry ladder"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn the_ladder_is_paged_to_its_end_among_what_has_left_it() {
    run(async |stack| {
        stack
            .database
            .execute(
                "INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error, occurred_at)
                 SELECT CASE WHEN n % 7 = 0 THEN 'github' ELSE 'shopify' END, 'w' || n, attempt, 'retry', 'for a test',
                        now() - (n / 40) * interval '1 second' - (2 - attempt) * interval '1 minute'
                 FROM generate_series(1, 3000) AS n, generate_series(0, 2) AS attempt;
                 INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                 SELECT CASE WHEN n % 7 = 0 THEN 'github' ELSE 'shopify' END, 'w' || n, 'orders/paid', sha256(''), 'completed',
                        now(), now() - interval '1 hour'
                 FROM generate_series(1, 3000) AS n WHERE n % 3 > 0",
            )
            .await;
        let console = Console::start(&stack).await;
        assert_eq!(walked(&console, "status=retrying").await.len(), 1_000);
        assert_eq!(walked(&console, "status=retrying&source=github").await.len(), 3_000 / 21);
        assert_eq!(walked(&console, "").await.len(), 3_000);
    })
    .await;
}

/// More webhooks than are looked up at once have the key, over some days.
#[tokio::test]
async fn a_key_that_many_share_is_paged_to_its_end() {
    run(async |stack| {
        stack
            .database
            .execute(
                "WITH new AS (
                    INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                    SELECT 'shopify', 'w' || n, 'orders/paid', sha256(''), 'completed', now(), now() - n * interval '3 minutes'
                    FROM generate_series(1, 2500) AS n RETURNING source, webhook_id, first_processed_at)
                 INSERT INTO webhook_search_keys (value, name, source, webhook_id, stored_on)
                 SELECT 'shared', 'customer', source, webhook_id, (first_processed_at AT TIME ZONE 'UTC')::date FROM new",
            )
            .await;
        let console = Console::start(&stack).await;
        assert_eq!(walked(&console, "q=Shared").await.len(), 2_500);
        // A time reaches what lies behind more than are looked up at once.
        let old = walked(&console, "q=shared&until=120h&since=121h").await;
        assert!((19..=21).contains(&old.len()), "{old:?}");
        let first = command(&stack, &["webhooks", "ls", "shared", "--limit", "7"]).await;
        assert_eq!(ids(&first), ["w1", "w2", "w3", "w4", "w5", "w6", "w7"]);
        let next = first["next"].as_str().unwrap();
        let second = command(&stack, &["webhooks", "ls", "shared", "--limit", "2", "--after", next]).await;
        assert_eq!(ids(&second), ["w8", "w9"]);
        let page = console.log_in(OPERATOR).await.page("/webhooks?q=shared").await;
        assert!(page.contains("share this key") && page.contains("/webhooks?q=shared&#38;after="), "{page}");
    })
    .await;
}

#[tokio::test]
async fn an_id_and_a_text_are_not_looked_for_at_once() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let both = console.get("/api/v1/webhooks?q=w1&text=ada").bearer_auth(OPERATOR).send().await.unwrap();
        let problem = super::json(both, 400).await;
        assert_eq!(problem["type"], "urn:oncehook:problem:malformed");
        assert!(problem["detail"].as_str().unwrap().contains("not for both"), "{problem}");
        let browser = console.log_in(OPERATOR).await;
        let answer = console.get("/webhooks?q=w1&text=ada").header("cookie", &browser.cookie).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let page = answer.text().await.unwrap();
        assert!(page.contains("not for both") && page.contains(r#"value="ada""#), "what was entered stays: {page}");
        let missing = console.get("/api/v1/jobs/abc").bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(super::json(missing, 404).await["type"], "urn:oncehook:problem:not-found");
    })
    .await;
}

async fn walked(console: &Console, query: &str) -> BTreeSet<String> {
    let (mut seen, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page = console.api(&format!("/webhooks?{query}&after={after}")).await;
        for id in ids(&page) {
            assert!(seen.insert(id.to_owned()), "seen twice: {id}");
        }
        let Some(next) = page["next"].as_str() else { return seen };
        after = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    }
}
