//! When the broker doesn't take a webhook: never a 2xx without a message.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Broker, Webhook, run, run_on, run_without_broker, until};

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

#[tokio::test]
async fn without_a_broker_and_a_spool_it_is_503_within_the_budget() {
    run_without_broker(
        "[ingest]\npublish_timeout_ms = 500\nretry_after_s = 3\n[spool]\nenabled = false\n",
        async |ingest| {
            let began = Instant::now();
            let answer = ingest.send(&webhook("1").request()).await;
            assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
            assert_eq!(answer.headers["retry-after"], "3");
            assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
            for inside in ["127.0.0.1", "amqp", "broker", "timed"] {
                assert!(!answer.body.contains(inside), "{}", answer.body);
            }
            let ready = ingest.ops("/readyz").await;
            assert_eq!(ready.status, 503);
            assert!(ready.body.contains("no connection to the broker"), "{}", ready.body);
            assert_eq!(ingest.ops("/livez").await.status, 200);
            // Verification needs no broker.
            assert_eq!(ingest.send(&webhook("1").without("x-signature-256").request()).await.status, 401);
        },
    )
    .await;
}

#[tokio::test]
async fn a_returned_message_is_503_without_a_spool_and_the_next_try_lands() {
    run("[spool]\nenabled = false\n", async |ingest| {
        assert_eq!(ingest.send(&webhook("before").request()).await.status, 200);
        ingest.broker.take().await;
        ingest.broker.delete_webhooks().await;
        assert_eq!(ingest.send(&webhook("lost").request()).await.status, 503);
        // The supervisor declares the queue again.
        let sent = until("webhooks are accepted again", async || {
            (ingest.send(&webhook("lost").request()).await.status == 200).then_some("lost")
        })
        .await;
        assert_eq!(ingest.broker.take().await.id, sent);
    })
    .await;
}

/// The queue goes away while many webhooks are in flight. Whatever was answered 2xx after that is on the new queue,
/// or in the spool and soon on the queue.
#[tokio::test]
async fn no_2xx_without_a_message_while_the_queue_goes_away() {
    run("", async |ingest| {
        for round in 0..5 {
            ingest.ready().await;
            ingest.broker.delete_webhooks().await;
            let ids: Vec<_> = (0..200).map(|number| format!("{round}-{number}")).collect();
            let requests =
                ids.iter().map(|id| async { (id.clone(), ingest.send(&webhook(id).request()).await.status) });
            let answers = futures_util::future::join_all(requests).await;
            let accepted: BTreeSet<_> =
                answers.into_iter().filter(|(_, status)| *status == 200).map(|(id, _)| id).collect();
            // Until then the queue may not be there again.
            ingest.counted("webhook_spool_files 0").await;
            let mut missing = accepted.clone();
            while !missing.is_empty() {
                missing.remove(&ingest.broker.take().await.id);
            }
        }
    })
    .await;
}

/// Somebody made the queue before us, or our configuration has changed since: it is used as it is.
#[tokio::test]
async fn a_queue_with_other_arguments_is_used_and_told_of() {
    let broker = Broker::connect().await;
    broker.make_other_webhooks().await;
    run_on(broker, async |ingest| {
        ingest.ready().await;
        assert_eq!(ingest.send(&webhook("1").request()).await.status, 200);
        assert_eq!(ingest.broker.take().await.id, "1");
        let differs = |queue: &str, value: u8| {
            let queue = format!("{}{queue}", ingest.broker.prefix);
            format!("webhook_queue_arguments_differ{{queue=\"{queue}\"}} {value}")
        };
        ingest.counted(&differs("webhooks", 1)).await;
        ingest.counted(&differs("webhooks.dead", 0)).await;
    })
    .await;
}
