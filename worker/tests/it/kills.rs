//! kill -9 at the worst moments. The moments are held open, not raced for: a lock in the database
//! keeps a transaction from committing, a gate keeps an acknowledgement from arriving.

use testing::gate::Gate;
use testing::orders::Order;
use testing::process::{Service, WorkerOptions};
use testing::run;
use testing::services::setting;
use testing::wait::until;
use url::Url;

use crate::scene::{assert_no_drift, number, options, processed, quantity, quick, stock, worker, worker_with};

/// Takes a SKU's row lock, lets a worker run into it, kills the worker there, lets go.
async fn kill_while_waiting_for(stack: &testing::Stack, sku: &str, orders: &[Order]) {
    let config = quick(stack);
    let mut blocker = stack.database.client().await;
    let lock = blocker.transaction().await.unwrap();
    lock.execute("SELECT FROM inventory WHERE sku = $1 FOR UPDATE", &[&sku]).await.unwrap();
    for order in orders {
        stack.publish(&order.webhook(&format!("w{}", order.id))).await;
    }
    let victim = Service::worker(stack, &options(&config)).await;
    until("the worker waits in its transaction", || async {
        (stack.database.sessions_waiting_for_a_lock().await > 0).then_some(())
    })
    .await;
    victim.kill_9().await;
    assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 0, "nothing was committed");
    lock.rollback().await.unwrap();
    let survivor = worker_with(stack, &config).await;
    let count = i64::try_from(orders.len()).unwrap();
    processed(stack, count).await;
    number(stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", count).await;
    assert_no_drift(stack).await;
    assert!(survivor.terminate().await.success());
}

#[tokio::test]
async fn before_commit_nothing_stays_and_the_redelivery_wins() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let order = Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]);
        kill_while_waiting_for(&stack, "MUG", &[order]).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 0).await;
    })
    .await;
}

#[tokio::test]
async fn in_the_middle_of_a_batch_the_whole_batch_runs_again() {
    run(async |stack| {
        stock(&stack, &["MUG", "ZEBRA"]).await;
        let to = format!("a@{}", stack.mail_domain);
        // Claims and ledger of the batch are written, MUG is locked, ZEBRA is waited for.
        let orders: Vec<Order> = (1..=31).map(|id| Order::of(id, &to, &["MUG", "ZEBRA"])).collect();
        kill_while_waiting_for(&stack, "ZEBRA", &orders).await;
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "ZEBRA").await), (969, 969));
    })
    .await;
}

#[tokio::test]
async fn between_commit_and_ack_the_redelivery_is_a_duplicate() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let config = quick(&stack);
        let mut url = Url::parse(&setting("AMQP_URL")).unwrap();
        let gate = Gate::to(format!("127.0.0.1:{}", url.port().unwrap())).await;
        url.set_port(Some(gate.address.port())).unwrap();
        let options = WorkerOptions { amqp_url: Some(url.into()), ..options(&config) };
        let victim = Service::worker(&stack, &options).await;
        gate.hold_clients();
        let order = Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]);
        stack.publish(&order.webhook("w1")).await;
        processed(&stack, 1).await; // committed, and the acknowledgement cannot arrive
        victim.kill_9().await;
        let survivor = worker_with(&stack, &config).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox").await, 1);
        until("the queue is empty", || async { (stack.ready(&stack.topology.webhooks()).await == 0).then_some(()) })
            .await;
        assert!(survivor.terminate().await.success());
    })
    .await;
}

/// Each of them ends before the time is over that is left to the one that holds the lease; a row is taken up all the same.
#[tokio::test]
async fn a_lease_that_ran_out_is_taken_up_by_workers_that_end_again_and_again() {
    run(async |stack| {
        let row = "INSERT INTO outbox (dedupe_key, effect, kind, intent, state, attempts, lease_until, on_ambiguous)
            VALUES ('k', 'order-confirmation', 'email', '{}', 'sending', 1, now() - interval '1 s', 'hold')";
        stack.database.execute(row).await;
        let seen = "SELECT count(*) FROM outbox WHERE overdue_since IS NOT NULL OR state = 'held'";
        for _life in 0..3 {
            let worker = worker(&stack).await;
            number(&stack, seen, 1).await;
            worker.kill_9().await;
        }
        // This is the quarter of a minute.
        stack.database.execute("UPDATE outbox SET overdue_since = overdue_since - interval '15 s'").await;
        let worker = worker(&stack).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'held' AND ambiguous", 1).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}
