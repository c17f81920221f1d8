//! Panics: caught and counted where they concern one webhook or one mail; anywhere else they end the worker.

use testing::orders::Order;
use testing::process::Service;
use testing::{Stack, run};

use crate::scene::{number, options, parked, processed, quantity, quick, stock, worker};

/// A worker with a failpoint.
async fn failing_worker(stack: &Stack, failpoint: &str) -> Service {
    let config = quick(stack);
    let worker = Service::spawn_worker_in(stack, &options(&config), |command| {
        command.env("FAILPOINTS", failpoint);
    });
    worker.wait_until_ready().await;
    worker
}

#[tokio::test]
async fn a_panic_in_planning_concerns_its_webhook_alone() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        for (id, webhook) in [(1, "w1"), (2, "cursed"), (3, "w3")] {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(webhook)).await;
        }
        let worker = failing_worker(&stack, "worker.plan~cursed=panic").await;
        processed(&stack, 2).await;
        assert_eq!(parked(&stack, "retries-exhausted", 1).await, ["cursed"]);
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE detail LIKE '%failpoint worker.plan%'", 1).await;
        let metrics = worker.metrics().await;
        assert!(metrics.contains("worker_panics_total{place=\"planning\"} 3\n"), "once an attempt: {metrics}");
        assert_eq!(quantity(&stack, "MUG").await, 998);
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_sending_leaves_the_mail_ambiguous() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = failing_worker(&stack, "worker.leased=panic@1").await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("w1")).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND ambiguous AND attempts = 2", 1).await;
        let metrics = worker.metrics().await;
        assert!(metrics.contains("worker_panics_total{place=\"sending\"} 1\n"), "{metrics}");
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// It does not seem well while a queue is not served: whoever supervises it starts it anew.
#[tokio::test]
async fn a_task_that_panics_ends_the_worker_with_an_error() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let mut victim = failing_worker(&stack, "worker.before-ack=panic@1").await;
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("w1")).await;
        let ended = victim.wait().await;
        assert_eq!(ended.code(), Some(1), "{ended}: {}", victim.log());
        assert!(victim.log().contains("a task of the worker ended before it was told to"), "{}", victim.log());
        let survivor = worker(&stack).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 1).await;
        processed(&stack, 1).await;
        assert_eq!(quantity(&stack, "MUG").await, 999);
        assert!(survivor.terminate().await.success());
    })
    .await;
}
