//! What every test of the worker needs: its binary, stock, and a way to wait.

use std::path::{Path, PathBuf};

use shared::message::Message;
use testing::Stack;
use testing::process::{Service, WorkerOptions};
pub(crate) use testing::state::{assert_no_drift, number, parked, processed, quantity, quicken, stock};

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

/// How many rows keep this body of a webhook, as it is.
pub(crate) async fn count_parked(stack: &Stack, message: &Message) -> i64 {
    let count = "SELECT count(*) FROM parked_webhooks WHERE source = $1 AND body = $2";
    let client = stack.database.client().await;
    client.query_one(count, &[&message.source.as_str(), &message.body.as_ref()]).await.unwrap().get(0)
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
