//! Postgres and the broker away: nothing is lost, nothing is counted as a failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::sys::signal::Signal;
use testing::gate::Gate;
use testing::orders::Order;
use testing::process::{Service, WorkerOptions};
use testing::services::setting;
use testing::wait::until;
use testing::{replace, run};
use url::Url;

use crate::scene::{
    assert_no_drift, number, options, parked, processed, quantity, quick, quicken, stock, worker, worker_with,
};

#[tokio::test]
async fn while_postgres_is_away_deliveries_wait_and_no_attempt_is_counted() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        stack.database.take_away().await;
        for id in 1..=150 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        until("the worker has met the outage", || async {
            worker
                .metrics()
                .await
                .lines()
                .any(|line| line.starts_with("worker_database_waits_total ") && !line.ends_with(" 0"))
                .then_some(())
        })
        .await;
        stack.database.bring_back().await;
        processed(&stack, 150).await;
        assert_eq!(quantity(&stack, "MUG").await, 850);
        number(&stack, "SELECT count(*) FROM webhook_failures", 0).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn readiness_tells_of_the_database_and_an_idle_worker_recovers() {
    run(async |stack| {
        stack.database.take_away().await;
        let worker = Service::spawn_worker(&stack, &options(&quick(&stack)).without_migrating());
        let url = format!("{}/readyz", worker.ops_url);
        until("it says what is missing", || async {
            let answer = reqwest::get(&url).await.ok()?;
            assert_eq!(answer.status(), 503);
            answer.text().await.ok()?.contains("the database is away").then_some(())
        })
        .await;
        stack.database.bring_back().await;
        worker.wait_until_ready().await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_with_a_batch_in_hand_settles_it_first() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let mut blocker = stack.database.client().await;
        let lock = blocker.transaction().await.unwrap();
        lock.execute("SELECT FROM inventory WHERE sku = 'MUG' FOR UPDATE", &[]).await.unwrap();
        for id in 1..=20 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        let worker = worker(&stack).await;
        until("the worker waits in its transaction", || async {
            (stack.database.sessions_waiting_for_a_lock().await > 0).then_some(())
        })
        .await;
        worker.signal(Signal::SIGTERM);
        until("it has taken note", || async { worker.log().contains("stopping").then_some(()) }).await;
        lock.rollback().await.unwrap();
        assert!(worker.terminate().await.success());
        let processed = stack.database.number("SELECT count(*) FROM processed_webhooks").await;
        assert!(processed > 0, "the batch in hand was settled");
        assert_eq!(quantity(&stack, "MUG").await, 1000 - processed);
        let waiting = stack.ready(&stack.topology.webhooks()).await;
        assert_eq!(processed + i64::from(waiting), 20, "what was not settled is where it was");
        number(&stack, "SELECT coalesce(sum(duplicates), 0)::int8 FROM processed_webhooks", 0).await;
    })
    .await;
}

/// Each line takes 50 ms, and a statement may take half a second: twenty orders at once are too many.
#[tokio::test]
async fn a_batch_that_takes_too_long_is_tried_in_halves() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION slow()";
        stack.database.execute(slow).await;
        for id in 1..=20 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        let impatient =
            |text: &str| replace(&quicken(text), "statement_timeout_ms = 10000", "statement_timeout_ms = 500");
        let worker = worker_with(&stack, &stack.configure(impatient)).await;
        processed(&stack, 20).await;
        assert!(worker.log().contains("the database takes too long; trying in halves"), "{}", worker.log());
        assert_eq!(quantity(&stack, "MUG").await, 980);
        number(&stack, "SELECT count(*) FROM webhook_failures", 0).await;
        number(&stack, "SELECT coalesce(sum(duplicates), 0)::int8 FROM processed_webhooks", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// What always takes too long keeps nobody waiting for ever: it climbs the ladder, and is parked at last.
#[tokio::test]
async fn a_webhook_that_takes_too_long_by_itself_is_parked_and_the_others_pass() {
    run(async |stack| {
        stock(&stack, &["MUG", "SLOW"]).await;
        let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.sku = 'SLOW' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE INSERT ON inventory_ledger FOR EACH ROW EXECUTE FUNCTION slow()";
        stack.database.execute(slow).await;
        stack.publish(&Order::of(666, "", &["SLOW"]).webhook("slow")).await;
        for id in 1..=5 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        let impatient =
            |text: &str| replace(&quicken(text), "statement_timeout_ms = 10000", "statement_timeout_ms = 500");
        let worker = worker_with(&stack, &stack.configure(impatient)).await;
        processed(&stack, 5).await;
        assert_eq!(parked(&stack, "retries-exhausted", 1).await, ["slow"]);
        number(&stack, "SELECT count(*) FROM webhook_failures WHERE outcome = 'retry'", 2).await;
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "SLOW").await), (995, 1000));
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_missing_partition_is_made_and_nothing_is_parked() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        stack
            .database
            .execute(
                "DO $$ DECLARE child text; BEGIN
                     FOR child IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'webhook_payloads'::regclass
                     LOOP EXECUTE 'DROP TABLE ' || child; END LOOP; END $$",
            )
            .await;
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("w1")).await;
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM webhook_payloads", 1).await;
        drop(worker);
    })
    .await;
}

/// Two relays to the one broker stand for two nodes of a cluster; the node in use dies under load.
#[tokio::test]
async fn the_next_address_is_taken_when_the_one_in_use_dies() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let broker = Url::parse(&setting("AMQP_URL")).unwrap();
        let node = async || Gate::to(format!("127.0.0.1:{}", broker.port().unwrap())).await;
        let (first, second) = (node().await, node().await);
        let addresses = [&first, &second].map(|gate| {
            let mut url = broker.clone();
            url.set_port(Some(gate.address.port())).unwrap();
            url.to_string()
        });
        let config = quick(&stack);
        let options = WorkerOptions { amqp_url: Some(addresses.join(",")), ..options(&config) };
        let worker = Service::worker(&stack, &options).await;
        for id in 1..=200 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        drop(first);
        for id in 201..=400 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        processed(&stack, 400).await;
        worker.wait_until_ready().await;
        assert_eq!(quantity(&stack, "MUG").await, 600);
        assert_no_drift(&stack).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// Runs alone (see .config/nextest.toml): it restarts the broker that the other tests use.
#[tokio::test]
async fn exclusive_the_broker_restarts_under_load() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let workers = [worker(&stack).await, worker(&stack).await];
        let confirmed = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let load = async {
            for id in 1..=1_500u64 {
                stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
                confirmed.lock().unwrap().insert(id);
            }
        };
        let restart = async {
            until("the load runs", || async { (confirmed.lock().unwrap().len() > 200).then_some(()) }).await;
            testing::services::restart("rabbitmq").await;
        };
        tokio::join!(load, restart);
        assert_eq!(confirmed.lock().unwrap().len(), 1_500);
        processed(&stack, 1_500).await;
        assert_eq!(quantity(&stack, "MUG").await, -500);
        assert_no_drift(&stack).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks", 0).await;
        for worker in workers {
            assert!(worker.terminate().await.success());
        }
    })
    .await;
}
