//! What the broker does to the worker: queues that go away, connections that are closed, other arguments, alarms.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use testing::orders::Order;
use testing::services::{Upset, setting};
use testing::wait::until;
use testing::{Stack, run};
use url::Url;

use crate::scene::{assert_no_drift, curse, lift_curse, number, processed, quantity, stock, worker};

/// Publishes orders of one mug each.
async fn order_mugs(stack: &Stack, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
    }
}

/// Deletes a queue with what is in it.
async fn delete(stack: &Stack, queue: &str) {
    let connection = stack.broker().await;
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

/// Waits until the queue is there, and a worker takes from it.
async fn taken_from(stack: &Stack, queue: &str) {
    until(&format!("a worker takes from {queue}"), || async {
        let connection = stack.broker().await;
        let depths = stack.topology.depths(&connection).await.unwrap();
        connection.close(200, "asked".into()).await.unwrap();
        depths.into_iter().find(|depth| depth.queue == queue && depth.consumers == Some(1)).map(|_| ())
    })
    .await;
}

/// The broker cancels the consumer; the worker declares the queue again and takes on.
#[tokio::test]
async fn a_deleted_queue_is_declared_and_taken_from_again() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        order_mugs(&stack, 1..=50).await;
        processed(&stack, 50).await;
        for queue in [stack.topology.webhooks(), stack.topology.suspect(), stack.topology.dead()] {
            delete(&stack, &queue).await;
            taken_from(&stack, &queue).await;
            worker.wait_until_ready().await;
        }
        order_mugs(&stack, 51..=100).await;
        processed(&stack, 100).await;
        assert_eq!(quantity(&stack, "MUG").await, 900);
        number(&stack, "SELECT coalesce(sum(duplicates), 0)::int8 FROM processed_webhooks", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// A webhook on its way to a rung that is not there comes back, stays where it was, and is moved when the rung is there again.
#[tokio::test]
async fn a_deleted_rung_of_the_ladder_loses_nothing() {
    run(async |stack| {
        stock(&stack, &["MUG", "CURSED"]).await;
        curse(&stack).await;
        let worker = worker(&stack).await;
        delete(&stack, &stack.topology.webhooks().replace("webhooks", "webhooks.retry.1s")).await;
        stack.publish(&Order::of(1, "", &["CURSED"]).webhook("cursed")).await;
        until("the move has met the gap", || async { worker.log().contains("the queue is not there").then_some(()) })
            .await;
        lift_curse(&stack).await;
        processed(&stack, 1).await;
        assert_eq!(quantity(&stack, "CURSED").await, 999);
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// The name of the connection that takes from a queue, as the broker's pages call it.
async fn connection_of_consumer(api: &Url, queue: &str) -> Option<String> {
    let consumers: serde_json::Value =
        reqwest::get(api.join("/api/consumers").unwrap()).await.unwrap().json().await.unwrap();
    let ours = consumers.as_array().unwrap().iter().find(|consumer| consumer["queue"]["name"] == queue)?;
    ours["channel_details"]["connection_name"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_connection_closed_by_an_administrator_is_made_anew() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        let api = Url::parse(&setting("RABBITMQ_API_URL")).unwrap();
        let queue = stack.topology.webhooks();
        for round in 0..2 {
            let name = until("the broker tells the connection", || connection_of_consumer(&api, &queue)).await;
            order_mugs(&stack, round * 100 + 1..=round * 100 + 50).await;
            let mut connection = api.join("/api/connections/").unwrap();
            connection.path_segments_mut().unwrap().pop_if_empty().push(&name);
            reqwest::Client::new().delete(connection).send().await.unwrap().error_for_status().unwrap();
            order_mugs(&stack, round * 100 + 51..=round * 100 + 100).await;
            until("the broker has forgotten the connection", || async {
                (connection_of_consumer(&api, &queue).await.is_some_and(|now| now != name)).then_some(())
            })
            .await;
        }
        processed(&stack, 200).await;
        assert_eq!(quantity(&stack, "MUG").await, 800);
        assert_no_drift(&stack).await;
        assert!(worker.log().contains("lost the broker, connecting anew"));
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// Somebody made the queue before us, or our configuration has changed since: it is used as it is.
#[tokio::test]
async fn a_queue_with_other_arguments_is_used_and_told_of() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let queue = stack.topology.webhooks();
        let connection = stack.broker().await;
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
        let worker = worker(&stack).await;
        order_mugs(&stack, 1..=10).await;
        processed(&stack, 10).await;
        let metrics = worker.metrics().await;
        let line = |queue: &str, value: u8| format!("webhook_queue_arguments_differ{{queue=\"{queue}\"}} {value}\n");
        assert!(metrics.contains(&line(&queue, 1)) && metrics.contains(&line(&stack.topology.dead(), 0)), "{metrics}");
        assert!(worker.log().contains("the queue exists with other arguments"));
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// A rung that takes nothing: what is to move there stays unacknowledged, and its lane goes on with the others.
#[tokio::test]
async fn a_rung_that_takes_nothing_holds_up_only_what_moves_there() {
    run(async |stack| {
        stock(&stack, &["MUG", "CURSED"]).await;
        curse(&stack).await;
        let rung = stack.topology.retry(Duration::from_secs(1));
        fill(&stack, &rung).await;
        let worker = worker(&stack).await;
        stack.publish(&Order::of(1000, "", &["CURSED"]).webhook("cursed")).await;
        until("the rung refuses", || async { worker.log().contains("the broker refused the message").then_some(()) })
            .await;
        for batch in 0..3 {
            order_mugs(&stack, batch * 40 + 1..=batch * 40 + 40).await;
            processed(&stack, i64::try_from(batch + 1).unwrap() * 40).await;
        }
        until("the others are acknowledged", || async {
            (stack.ready(&stack.topology.webhooks()).await == 0).then_some(())
        })
        .await;
        lift_curse(&stack).await;
        delete(&stack, &rung).await;
        processed(&stack, 121).await;
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "CURSED").await), (880, 999));
        number(&stack, "SELECT coalesce(sum(duplicates), 0)::int8 FROM processed_webhooks", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// Makes a queue that has room for one message, and takes it.
async fn fill(stack: &Stack, queue: &str) {
    let connection = stack.broker().await;
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let publishing = BasicPublishOptions::default();
    let publish = channel.basic_publish("".into(), queue.into(), publishing, b"", BasicProperties::default());
    assert_eq!(publish.await.unwrap().await.unwrap(), Confirmation::Ack(None));
    connection.close(200, "done".into()).await.unwrap();
}

/// Runs alone (see .config/nextest.toml): an alarm is everybody's. Taking and acknowledging goes on, on connections
/// of their own; what must be published waits unacknowledged.
#[tokio::test]
async fn exclusive_while_the_broker_is_short_of_memory_only_the_ladder_waits() {
    run(async |stack| {
        stock(&stack, &["MUG", "CURSED"]).await;
        curse(&stack).await;
        order_mugs(&stack, 1..=50).await;
        stack.publish(&Order::of(51, "", &["CURSED"]).webhook("cursed")).await;
        let alarm = Upset::alarm("memory").await;
        let worker = worker(&stack).await;
        processed(&stack, 50).await;
        until("the broker has blocked the publisher", || async {
            worker.log().contains("the broker blocks publishers").then_some(())
        })
        .await;
        lift_curse(&stack).await;
        assert_eq!(quantity(&stack, "CURSED").await, 1000);
        alarm.end().await;
        processed(&stack, 51).await;
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "CURSED").await), (950, 999));
        assert!(!worker.log().contains("lost the broker"), "{}", worker.log());
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// Runs alone: the broker's patience is everybody's. A batch waits for the database for longer than the broker waits for an
/// acknowledgement: the channel is closed, all of it is delivered again, and takes effect once.
#[tokio::test]
async fn exclusive_a_channel_that_the_broker_closes_is_opened_anew() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let mut blocker = stack.database.client().await;
        let lock = blocker.transaction().await.unwrap();
        lock.execute("SELECT FROM inventory WHERE sku = 'MUG' FOR UPDATE", &[]).await.unwrap();
        order_mugs(&stack, 1..=20).await;
        let impatience = Upset::patience(1).await;
        let worker = worker(&stack).await;
        until("the broker has lost its patience", || async {
            worker.log().contains("delivery acknowledgement on channel").then_some(())
        })
        .await;
        lock.rollback().await.unwrap();
        processed(&stack, 20).await;
        assert_eq!(quantity(&stack, "MUG").await, 980);
        assert_no_drift(&stack).await;
        number(&stack, "SELECT count(*) FROM webhook_failures", 0).await;
        worker.wait_until_ready().await;
        assert!(worker.terminate().await.success());
        tokio::task::spawn_blocking(move || drop(impatience)).await.unwrap();
    })
    .await;
}
