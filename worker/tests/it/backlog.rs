//! What waits in Postgres is told by every worker, in numbers that are the table's.

use testing::run;
use testing::wait::until;

use crate::scene::worker;

/// None has its turn, so that no dispatcher changes what is counted. Older than those that failed before are some that
/// did not; what is sent or cancelled is nobody's business.
const OUTBOX: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, intent, state, attempts, lease_until, settled_at, next_attempt_at,
                        created_at)
    SELECT name || n, 'mail', 'email', '{}', state, attempts,
           CASE WHEN state = 'sending' THEN now() + interval '1 day' END,
           CASE WHEN state IN ('failed', 'sent', 'cancelled') THEN now() END,
           now() + interval '1 day', now() - n * interval '20 minutes'
    FROM (VALUES ('fresh', 'pending', 0, 5), ('in-vain', 'pending', 2, 3), ('leased', 'sending', 1, 2),
                 ('held', 'held', 1, 4), ('failed', 'failed', 48, 1), ('sent', 'sent', 2, 7),
                 ('cancelled', 'cancelled', 0, 6)) AS rows (name, state, attempts, count),
         generate_series(1, count) AS n";

/// A redrive that has just begun waits for nobody, nor does what is resolved.
const PARKED: &str = "
    INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, state, body, body_sha256,
                                 received_at)
    SELECT source, reason || state || n, 'shopify', 'orders/paid', reason, '', state, 'x', sha256('x'), now()
    FROM (VALUES ('shopify', 'plan', 'parked', 3), ('shopify', 'unknown-sku', 'parked', 2),
                 ('github', 'plan', 'parked', 1), ('github', 'plan', 'redriving', 5), ('shopify', 'plan', 'resolved', 4))
         AS rows (source, reason, state, count),
         generate_series(1, count) AS n";

#[tokio::test]
async fn what_waits_in_postgres_is_told_in_its_own_numbers() {
    run(async |stack| {
        let client = stack.database.client().await;
        client.batch_execute(OUTBOX).await.unwrap();
        client.batch_execute(PARKED).await.unwrap();
        let worker = worker(&stack).await;
        let metrics = until("the worker has counted", || async {
            let metrics = worker.metrics().await;
            metrics.contains("webhook_outbox_rows{").then_some(metrics)
        })
        .await;
        for line in [
            r#"webhook_outbox_rows{state="pending"} 8"#,
            r#"webhook_outbox_rows{state="sending"} 2"#,
            r#"webhook_outbox_rows{state="held"} 4"#,
            r#"webhook_outbox_rows{state="failed"} 1"#,
            "webhook_outbox_failing 3",
            "webhook_outbox_oldest_due_age_seconds 0",
            "webhook_outbox_oldest_failing_age_seconds 36",
            r#"webhook_parked_waiting{source="github",reason="plan"} 1"#,
            r#"webhook_parked_waiting{source="shopify",reason="plan"} 3"#,
            r#"webhook_parked_waiting{source="shopify",reason="unknown-sku"} 2"#,
        ] {
            assert!(metrics.lines().any(|told| told.starts_with(line)), "{line} in {metrics}");
        }
        assert!(worker.terminate().await.success());
    })
    .await;
}
