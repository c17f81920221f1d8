//! `oncehook purge`: what is older than it is kept goes when told to, and nothing else ever.

use shared::db::parked_webhooks::ParkReason;
use testing::run;

use crate::scene::{json, oncehook, orders, park};

/// Ids that were processed so many days ago.
fn processed(id: &str, days: u32) -> String {
    format!(
        "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
         VALUES ('shopify', '{id}', 'orders/paid', sha256('{id}'), 'completed', now(), now() - interval '{days} days')"
    )
}

#[tokio::test]
async fn only_what_is_too_old_is_counted_and_only_a_yes_deletes_it() {
    run(async |stack| {
        let orders = orders(&stack, 1);
        park(&stack, &orders, ParkReason::Plan).await;
        for (id, days) in [("old", 31), ("older", 400), ("young", 29), ("w1", 31)] {
            stack.database.execute(&processed(id, days)).await;
        }
        stack
            .database
            .execute(
                "INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error, occurred_at)
                 VALUES ('shopify', 'old', 0, 'retry', 'for a test', now() - interval '91 days'),
                        ('shopify', 'young', 0, 'retry', 'for a test', now() - interval '89 days')",
            )
            .await;
        stack
            .database
            .execute(
                "INSERT INTO outbox (dedupe_key, effect, kind, intent, state, settled_at)
                 VALUES ('a', 'a', 'email', '{}', 'sent', now() - interval '31 days'),
                        ('b', 'a', 'email', '{}', 'sent', now() - interval '29 days')",
            )
            .await;
        stack
            .database
            .execute(
                "INSERT INTO webhook_search_keys (value, name, source, webhook_id, stored_on)
                 VALUES ('7', 'order', 'shopify', 'old', (now() AT TIME ZONE 'UTC')::date - 31),
                        ('9', 'order', 'shopify', 'w1', (now() AT TIME ZONE 'UTC')::date - 31),
                        ('8', 'order', 'shopify', 'young', (now() AT TIME ZONE 'UTC')::date - 29)",
            )
            .await;
        stack
            .database
            .execute(
                "INSERT INTO outbox_attempts (outbox_id, attempt, outcome, error, at)
                 VALUES (1, 1, 'retry', 'for a test', now() - interval '31 days'),
                        (1, 2, 'retry', 'for a test', now() - interval '29 days')",
            )
            .await;
        stack.database.execute("CREATE TABLE webhook_payloads_20200101 (LIKE webhook_payloads INCLUDING ALL)").await;
        let rows = |report: &serde_json::Value| {
            let tables = report["tables"].as_array().unwrap().iter();
            tables.map(|table| table["rows"].as_u64().unwrap()).collect::<Vec<u64>>()
        };

        let looked = json(&stack, &["purge"]).await;
        assert_eq!((rows(&looked), &looked["tense"]), (vec![2, 0, 1, 1, 0, 1, 1], &"would".into()));
        assert_eq!(looked["partitions"], serde_json::json!(["webhook_payloads_20200101"]));
        assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 4, "it only looked");

        let purged = json(&stack, &["purge", "--yes"]).await;
        assert_eq!((rows(&purged), &purged["tense"]), (vec![2, 0, 1, 1, 0, 1, 1], &"done".into()));
        assert_eq!(purged["partitions"], looked["partitions"]);
        let kept = "SELECT count(*) FROM processed_webhooks WHERE webhook_id IN ('young', 'w1')";
        assert_eq!(stack.database.number(kept).await, 2, "what is young or parked stays");
        assert_eq!(stack.database.number("SELECT count(*) FROM webhook_failures").await, 1);
        let keys = "SELECT count(*) FROM webhook_search_keys WHERE value IN ('8', '9')";
        assert_eq!(stack.database.number(keys).await, 2, "what is young stays, and what is parked is found");
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox_attempts WHERE attempt = 2").await, 1);
        let again = oncehook(&stack, &["purge", "--yes"]).await;
        assert!(again.status.success(), "{again:?}");
    })
    .await;
}
