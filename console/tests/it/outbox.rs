//! `oncehook outbox`: what a person decides on is sent again, held or given up, and nothing else is touched.

use shared::db::outbox::counts;
use testing::{Stack, run};

use crate::scene::{command, json, oncehook, service_that_says, text};

/// So many mails in a state; `sending` ones have a lease that lasts.
async fn plan(stack: &Stack, effect: &str, state: &str, count: u32) {
    let statement = format!(
        "INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, state, attempts, lease_until, settled_at,
                             last_error, ambiguous, next_attempt_at)
         SELECT '{effect}/{state}/' || n, '{effect}', 'email', 'shopify', 'w' || n, '{{}}', '{state}', 3,
                CASE WHEN '{state}' = 'sending' THEN now() + interval '1 hour' END,
                CASE WHEN '{state}' IN ('sent', 'failed', 'cancelled') THEN now() END,
                'for a test', '{state}' = 'held', now() + interval '1 hour'
         FROM generate_series(1, {count}) AS n"
    );
    stack.database.execute(&statement).await;
}

async fn count(stack: &Stack, state: &str) -> i64 {
    stack.database.number(&format!("SELECT count(*) FROM outbox WHERE state = '{state}'")).await
}

#[tokio::test]
async fn effects_are_listed_page_by_page_without_what_they_hold() {
    run(async |stack| {
        plan(&stack, "order-confirmation", "held", 3).await;
        plan(&stack, "tell-warehouse", "failed", 2).await;
        plan(&stack, "order-confirmation", "sent", 2).await;
        let first = json(&stack, &["outbox", "ls", "--limit", "4"]).await;
        let next = first["next"].as_i64().unwrap().to_string();
        let second = json(&stack, &["outbox", "ls", "--limit", "4", "--after", &next]).await;
        let keys = |page: &serde_json::Value| {
            let rows = page["effects"].as_array().unwrap().iter();
            rows.map(|row| row["dedupe_key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&first).len(), 4);
        assert_eq!(keys(&second), ["order-confirmation/held/1"]);
        assert!(second["next"].is_null() && first["effects"][0]["intent"].is_null(), "{first}");
        let table = text(&oncehook(&stack, &["outbox", "ls", "--state", "ambiguous"]).await.stdout);
        assert!(table.contains("held, ambiguous") && !table.contains("tell-warehouse"), "{table}");
    })
    .await;
}

#[tokio::test]
async fn many_of_one_kind_hide_nothing_of_another() {
    run(async |stack| {
        plan(&stack, "order-confirmation", "cancelled", 9).await;
        plan(&stack, "order-confirmation", "held", 9).await;
        plan(&stack, "tell-warehouse", "failed", 1).await;
        plan(&stack, "tell-warehouse", "pending", 1).await;
        plan(&stack, "order-confirmation", "pending", 9).await;
        let fresh = "UPDATE outbox SET attempts = 0, last_error = NULL, next_attempt_at = now()
                     WHERE effect = 'order-confirmation' AND state = 'pending'";
        stack.database.execute(fresh).await;
        let client = stack.database.client().await;
        let by_state = counts::bounded(&client, 3).await.unwrap();
        let by_state: Vec<(&str, i64)> = by_state.iter().map(|one| (one.state.as_str(), one.rows)).collect();
        assert_eq!(
            by_state[..6],
            [("pending", 3), ("sending", 0), ("held", 3), ("failed", 1), ("cancelled", 3), ("ambiguous", 3)]
        );
        let waiting = counts::waiting(&client, 3).await.unwrap();
        let waiting: Vec<_> = waiting.iter().map(|one| (one.effect.as_str(), one.pending, one.failing)).collect();
        assert_eq!(waiting, [("order-confirmation", 3, 0), ("tell-warehouse", 1, 1)]);
    })
    .await;
}

#[tokio::test]
async fn many_need_somebody_to_agree_and_what_is_being_sent_is_left_alone() {
    run(async |stack| {
        plan(&stack, "order-confirmation", "held", 1_200).await;
        plan(&stack, "order-confirmation", "sending", 1).await;
        plan(&stack, "tell-warehouse", "failed", 2).await;
        plan(&stack, "tell-warehouse", "sent", 1).await;
        let refused = oncehook(&stack, &["outbox", "resend", "--state", "held"]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused.stderr).contains("resend 1200 effects (order-confirmation held 1200)? Say --yes"),
            "{refused:?}"
        );
        let looked = json(&stack, &["outbox", "resend", "--all", "--dry-run"]).await;
        assert_eq!((&looked["tense"], &looked["ambiguous"]), (&"would".into(), &1_200.into()));
        assert_eq!(count(&stack, "pending").await, 0, "it only looked");

        let resent = json(&stack, &["outbox", "resend", "--state", "held", "--yes"]).await;
        assert_eq!(resent["effects"][0]["rows"], 1_200);
        assert_eq!((count(&stack, "pending").await, count(&stack, "held").await), (1_200, 0));
        let held = json(&stack, &["outbox", "hold", "--all"]).await;
        assert_eq!(held["effects"][0]["rows"], 1_200);
        let cancelled = json(&stack, &["outbox", "cancel", "--effect", "tell-warehouse", "--yes"]).await;
        assert_eq!(
            cancelled["effects"],
            serde_json::json!([{ "effect": "tell-warehouse", "state": "failed", "rows": 2 }])
        );
        assert_eq!((count(&stack, "cancelled").await, count(&stack, "sending").await), (2, 1));

        let sending = stack.database.number("SELECT id FROM outbox WHERE state = 'sending'").await.to_string();
        let sent = stack.database.number("SELECT id FROM outbox WHERE state = 'sent'").await.to_string();
        let left = oncehook(&stack, &["outbox", "cancel", &sending, &sent]).await;
        assert_eq!(left.status.code(), Some(3), "{left:?}");
        let page = text(&left.stdout);
        assert!(page.contains("not cancelled: the state is sending") && page.contains("the state is sent"), "{page}");
        let unknown = oncehook(&stack, &["outbox", "hold", "999999"]).await;
        assert_eq!((unknown.status.code(), count(&stack, "sent").await), (Some(1), 1));
        let nothing_said = command(&stack, &["outbox", "cancel"]).output().await.unwrap();
        assert!(text(&nothing_said.stderr).contains("or say --all"), "{nothing_said:?}");
    })
    .await;
}

#[tokio::test]
async fn each_destination_is_told_with_its_breaker() {
    run(async |stack| {
        let fine = oncehook(&stack, &["outbox", "destinations"]).await;
        assert!(fine.status.success(), "nothing waits, and nobody says that it could not go: {fine:?}");
        plan(&stack, "order-confirmation", "pending", 2).await;
        let unasked = json(&stack, &["outbox", "destinations"]).await;
        let one = &unasked["destinations"][0];
        assert_eq!((&one["effect"], &one["pending"]), (&"order-confirmation".into(), &2.into()));
        assert_eq!((&one["breaker"], &one["up"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        let url = service_that_says(
            "webhook_destination_up{effect=\"order-confirmation\"} 0\n\
             webhook_effect_breaker{effect=\"order-confirmation\"} 2\n\
             webhook_destination_up{effect=\"operator-alert\"} 1\n\
             webhook_effect_breaker{effect=\"operator-alert\"} 0\n",
        )
        .await;
        let asked = json(&stack, &["outbox", "destinations", "--worker-ops-url", &url]).await;
        let told = |at: usize| {
            let one = &asked["destinations"][at];
            ["effect", "health", "breaker"].map(|field| one[field].as_str().unwrap().to_owned())
        };
        assert_eq!(told(0), ["order-confirmation", "away", "open"]);
        assert_eq!(told(1), ["operator-alert", "fine", "closed"]);
        let table = oncehook(&stack, &["outbox", "destinations", "--worker-ops-url", &url]).await;
        assert_eq!(table.status.code(), Some(3), "no worker reaches one of them");
        let table = text(&table.stdout);
        assert!(table.contains("BREAKER") && table.contains("open"), "{table}");
        // What is paused waits for the person who resumes it.
        oncehook(&stack, &["outbox", "pause", "order-confirmation", "--because", "it moves"]).await;
        assert_eq!(oncehook(&stack, &["outbox", "destinations"]).await.status.code(), Some(3));
    })
    .await;
}

#[tokio::test]
async fn an_effect_is_paused_for_a_reason_and_resumed() {
    run(async |stack| {
        let pause = |effect, by| {
            let arguments = ["outbox", "pause", effect, "--because", "its server moves", "--by", by];
            let mut command = command(&stack, &arguments);
            async move { command.output().await.unwrap() }
        };
        let unknown = pause("nobody", "ada").await;
        let told = text(&unknown.stderr);
        assert!(told.contains("there is no effect nobody") && told.contains("order-confirmation"), "{told}");
        assert_eq!(
            (unknown.status.code(), stack.database.number("SELECT count(*) FROM paused_effects").await),
            (Some(1), 0)
        );

        let paused = pause("order-confirmation", "ada").await;
        assert!(paused.status.success(), "{paused:?}");
        assert_eq!(text(&paused.stdout), "order-confirmation is paused, by ada: its server moves\n");
        let again = pause("order-confirmation", "bob").await;
        assert!(again.status.success(), "{again:?}");
        assert_eq!(text(&again.stdout), "order-confirmation is paused already, by ada: its server moves\n");
        let told = json(&stack, &["outbox", "destinations"]).await;
        assert_eq!(told["destinations"][0]["health"], "paused");

        let resumed = json(&stack, &["outbox", "resume", "order-confirmation"]).await;
        assert_eq!((&resumed["changed"], &resumed["paused"]), (&true.into(), &serde_json::Value::Null));
        assert_eq!(stack.database.number("SELECT count(*) FROM paused_effects").await, 0);
        let again = oncehook(&stack, &["outbox", "resume", "order-confirmation"]).await;
        assert_eq!(text(&again.stdout), "order-confirmation was not paused\n");
    })
    .await;
}
