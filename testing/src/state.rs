//! What a test puts into its world, and what it waits for there.

use crate::wait::until;
use crate::{Stack, replace};

/// A ladder and a dispatcher that do not keep a test waiting.
pub fn quicken(text: &str) -> String {
    let text = replace(text, "retry_delays_s = [5, 30, 120, 600, 3600]", "retry_delays_s = [1, 2]");
    let text = replace(&text, "retry_min_ms = 5000", "retry_min_ms = 50");
    let text = replace(&text, "breaker_min_ms = 5000", "breaker_min_ms = 50");
    let text = replace(&text, "breaker_max_ms = 60000", "breaker_max_ms = 500");
    let text = replace(&text, "lease_ms = 120000", "lease_ms = 4000");
    let text = replace(&text, "deadline_ms = 30000", "deadline_ms = 2000");
    replace(&text, "planning_timeout_ms = 10000", "planning_timeout_ms = 500")
}

/// Puts 1,000 of each SKU in stock.
pub async fn stock(stack: &Stack, skus: &[&str]) {
    let client = stack.database.client().await;
    client.execute("INSERT INTO inventory (sku, quantity) SELECT unnest($1::text[]), 1000", &[&skus]).await.unwrap();
}

/// What is left of a SKU.
pub async fn quantity(stack: &Stack, sku: &str) -> i64 {
    let client = stack.database.client().await;
    client.query_one("SELECT quantity FROM inventory WHERE sku = $1", &[&sku]).await.unwrap().get("quantity")
}

/// Waits until so many webhooks were processed.
pub async fn processed(stack: &Stack, count: i64) {
    until(&format!("{count} webhooks are processed"), || async {
        let found = stack.database.number("SELECT count(*) FROM processed_webhooks").await;
        assert!(found <= count, "{found} webhooks processed, expected {count}");
        (found == count).then_some(())
    })
    .await;
}

/// Waits until so many webhooks are parked for a reason; returns their ids.
pub async fn parked(stack: &Stack, reason: &str, count: usize) -> Vec<String> {
    until(&format!("{count} webhooks are parked for {reason}"), || async {
        let client = stack.database.client().await;
        let query = "SELECT webhook_id FROM parked_webhooks WHERE reason = $1 AND state = 'parked' ORDER BY webhook_id";
        let ids: Vec<String> = client.query(query, &[&reason]).await.unwrap().iter().map(|row| row.get(0)).collect();
        (ids.len() == count).then_some(ids)
    })
    .await
}

/// Waits until a query's number is the expected one.
pub async fn number(stack: &Stack, query: &str, expected: i64) {
    until(&format!("{query} is {expected}"), || async {
        (stack.database.number(query).await == expected).then_some(())
    })
    .await;
}

/// Quantity is initial quantity plus ledger, for every SKU.
pub async fn assert_no_drift(stack: &Stack) {
    let client = stack.database.client().await;
    assert_eq!(shared::db::inventory::drift(&**client).await.unwrap(), []);
}
