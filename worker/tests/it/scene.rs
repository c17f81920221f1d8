//! What every test of the worker needs: its binary, stock, and a way to wait.

use std::path::{Path, PathBuf};

use testing::process::{Service, WorkerOptions};
use testing::wait::until;
use testing::{Stack, replace};

/// A worker on the default configuration.
pub(crate) async fn worker(stack: &Stack) -> Service {
    worker_with(stack, &quick(stack)).await
}

/// A worker on a configuration.
pub(crate) async fn worker_with(stack: &Stack, config: &Path) -> Service {
    Service::worker(stack, &options(config)).await
}

/// What to start the worker with.
pub(crate) fn options(config: &Path) -> WorkerOptions<'_> {
    WorkerOptions {
        binary: env!("CARGO_BIN_EXE_worker"),
        config,
        amqp_url: None,
        smtp_url: None,
        migrate_on_start: true,
    }
}

/// The default configuration with a ladder and a dispatcher that do not keep a test waiting.
pub(crate) fn quick(stack: &Stack) -> PathBuf {
    stack.configure(quicken)
}

/// The changes of [`quick`].
pub(crate) fn quicken(text: &str) -> String {
    let text = replace(text, "retry_delays_s = [5, 30, 120, 600, 3600]", "retry_delays_s = [1, 2]");
    let text = replace(&text, "retry_min_ms = 5000", "retry_min_ms = 50");
    let text = replace(&text, "lease_ms = 120000", "lease_ms = 4000");
    let text = replace(&text, "deadline_ms = 30000", "deadline_ms = 2000");
    replace(&text, "planning_timeout_ms = 10000", "planning_timeout_ms = 500")
}

/// Puts 1,000 of each SKU in stock.
pub(crate) async fn stock(stack: &Stack, skus: &[&str]) {
    let client = stack.database.client().await;
    client.execute("INSERT INTO inventory (sku, quantity) SELECT unnest($1::text[]), 1000", &[&skus]).await.unwrap();
}

/// From now on, whatever sells the SKU `CURSED` fails, in a way that may pass.
pub(crate) async fn curse(stack: &Stack) {
    let trigger = "CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.sku = 'CURSED' THEN RAISE EXCEPTION 'cursed'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER curse BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION curse()";
    stack.database.execute(trigger).await;
}

/// From now on it does not.
pub(crate) async fn lift_curse(stack: &Stack) {
    stack.database.execute("DROP TRIGGER curse ON inventory_ledger").await;
}

/// What is left of a SKU.
pub(crate) async fn quantity(stack: &Stack, sku: &str) -> i64 {
    let client = stack.database.client().await;
    client.query_one("SELECT quantity FROM inventory WHERE sku = $1", &[&sku]).await.unwrap().get("quantity")
}

/// Waits until so many webhooks were processed.
pub(crate) async fn processed(stack: &Stack, count: i64) {
    until(&format!("{count} webhooks are processed"), || async {
        let found = stack.database.number("SELECT count(*) FROM processed_webhooks").await;
        assert!(found <= count, "{found} webhooks processed, expected {count}");
        (found == count).then_some(())
    })
    .await;
}

/// Waits until so many webhooks are parked for a reason; returns their ids.
pub(crate) async fn parked(stack: &Stack, reason: &str, count: usize) -> Vec<String> {
    until(&format!("{count} webhooks are parked for {reason}"), || async {
        let client = stack.database.client().await;
        let query = "SELECT webhook_id FROM parked_webhooks WHERE reason = $1 AND state = 'parked' ORDER BY webhook_id";
        let ids: Vec<String> = client.query(query, &[&reason]).await.unwrap().iter().map(|row| row.get(0)).collect();
        (ids.len() == count).then_some(ids)
    })
    .await
}

/// Waits until a query's number is the expected one.
pub(crate) async fn number(stack: &Stack, query: &str, expected: i64) {
    until(&format!("{query} is {expected}"), || async {
        (stack.database.number(query).await == expected).then_some(())
    })
    .await;
}

/// Quantity is initial quantity plus ledger, for every SKU.
pub(crate) async fn assert_no_drift(stack: &Stack) {
    let client = stack.database.client().await;
    assert_eq!(shared::db::inventory::drift(&**client).await.unwrap(), []);
}
