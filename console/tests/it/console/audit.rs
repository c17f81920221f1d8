//! What is written down of what people do: in full, and by whichever way they do it.

use serde_json::json;
use shared::db::parked_webhooks::ParkReason;
use testing::run;

use super::{Console, OPERATOR};
use crate::scene::{json as command, oncehook, orders, park};

#[tokio::test]
async fn each_of_many_that_were_picked_out_is_on_record_with_how_and_why() {
    run(async |stack| {
        park(&stack, &orders(&stack, 40), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let webhooks: Vec<_> =
            (1..=40).map(|n| json!({ "source": "shopify", "webhook_id": format!("w{n}") })).collect();
        let action = json!({ "webhooks": webhooks, "because": "a \u{0}test" });
        let job = console.act("/parked/discard", action, 202).await;
        console.job(&job).await;
        let action = json!({ "filter": { "state": "discarded" }, "rate": 7, "accept": ["too-old", "changed-body"] });
        let job = console.act("/parked/redrive", action, 202).await;
        console.job(&job).await;
        let audit = console.api("/audit").await;
        let in_full = async |at: usize| {
            let row = &audit["actions"][at];
            assert!(row["request"].is_null(), "lists stay short");
            console.api(&format!("/audit/{}", row["id"])).await
        };
        let discarded = in_full(1).await;
        assert_eq!(discarded["subject"], "shopify w1, shopify w2, shopify w3 and 37 more");
        assert_eq!(
            (&discarded["request"]["webhooks"], discarded["outcome"].as_str()),
            (&json!(webhooks), Some("done"))
        );
        assert_eq!(discarded["request"]["because"], "a \u{fffd}test");
        let redriven = in_full(0).await;
        let request = json!({ "filter": { "state": "discarded" }, "rate": 7, "accept": ["too-old", "changed-body"] });
        assert_eq!(redriven["request"], request);
        let browser = console.log_in(OPERATOR).await;
        let page = browser.page(&format!("/audit/{}", discarded["id"])).await;
        assert!(page.contains("&#34;w40&#34;") || page.contains("&quot;w40&quot;"), "{page}");
        assert_eq!(console.get("/api/v1/audit/99").bearer_auth(OPERATOR).send().await.unwrap().status(), 404);
    })
    .await;
}

#[tokio::test]
async fn a_logout_is_on_record_and_one_of_nobody_is_not() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        for _again in 0..2 {
            assert_eq!(browser.form("/logout", &[]).send().await.unwrap().status(), 303);
        }
        let logouts =
            "SELECT count(*) FROM console_audit WHERE action = 'logout' AND person = 'Ada' AND outcome = 'done'";
        assert_eq!(stack.database.number(logouts).await, 1);
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit WHERE action = 'logout'").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_done_in_the_terminal_is_on_record() {
    run(async |stack| {
        park(&stack, &orders(&stack, 2), ParkReason::Plan).await;
        let discard = ["parked", "discard", "shopify", "w1", "--because", "a test"];
        assert!(oncehook(&stack, &[&discard[..], &["--dry-run"]].concat()).await.status.success());
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit").await, 0, "it only looked");
        let output = crate::scene::command(&stack, &discard).env("USER", "grace").output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        for arguments in [
            &["parked", "redrive", "--all", "--rate", "0"][..],
            &["inventory", "set", "MUG", "3"],
            &["outbox", "hold", "--all"],
            &["outbox", "pause", "order-confirmation", "--because", "a test"],
            &["purge", "--yes"],
        ] {
            let output = oncehook(&stack, arguments).await;
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
        let console = Console::start(&stack).await;
        let audit = console.api("/audit").await;
        let rows = audit["actions"].as_array().unwrap();
        let told = |field: &str| rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        // Nothing waited in the outbox, so nothing was begun there.
        assert_eq!(told("action"), ["purge", "destination.pause", "inventory.set", "parked.redrive", "parked.discard"]);
        assert!(told("via").iter().all(|via| via == "terminal") && told("outcome").iter().all(|one| one == "done"));
        assert_eq!(told("person")[4], "grace");
        assert!(told("person")[0].starts_with("uid "), "{rows:?}");
        let entry = console.api(&format!("/audit/{}", rows[4]["id"])).await;
        let request = json!({ "webhooks": [{ "source": "shopify", "webhook_id": "w1" }], "because": "a test" });
        assert_eq!(entry["request"], request);
        assert_eq!(command(&stack, &["inventory", "show"]).await[0]["quantity"], 3);
    })
    .await;
}

#[tokio::test]
async fn what_fails_in_the_terminal_is_on_record_as_failed() {
    run(async |stack| {
        stack.database.execute("ALTER TABLE paused_effects RENAME TO away").await;
        for arguments in [
            &["outbox", "pause", "order-confirmation", "--because", "a test"][..],
            &["outbox", "resume", "order-confirmation"],
        ] {
            let output = oncehook(&stack, arguments).await;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
        }
        let failed = "SELECT count(*) FROM console_audit WHERE outcome = 'failed' AND detail LIKE '%paused_effects%'";
        assert_eq!(stack.database.number(failed).await, 2);
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit").await, 2);
    })
    .await;
}
