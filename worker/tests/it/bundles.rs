//! Bodies that hold several webhooks, and bodies that come again under another id.

use shared::amqp::Topology;
use shared::config::Config;
use shared::message::{Message, sha256};
use shared::name::Name;
use shared::provider::BATCH_TOPIC;
use testing::wait::until;
use testing::{Stack, replace, run};
use time::OffsetDateTime;

use crate::scene::{number, parked, processed, quicken, worker_with};

/// Sources that the default configuration does not have.
const SOURCES: &str = r#"
[sources.mails]
provider = "sendgrid"
verification = "none"

[sources.told]
provider = "generic"
verification = "none"

[sources.strict]
provider = "generic"
verification = "none"
replay_defence = "drop"
"#;

fn configured(stack: &Stack) -> std::path::PathBuf {
    stack.configure(|text| format!("{}{SOURCES}", quicken(text)))
}

fn message(source: &str, provider: &str, id: &str, topic: &str, body: &str) -> Message {
    Message {
        source: Name::try_from(source).unwrap(),
        provider: Name::try_from(provider).unwrap(),
        id: id.to_owned(),
        topic: topic.to_owned(),
        received_at: OffsetDateTime::now_utc(),
        content_type: None,
        headers: Vec::new(),
        body_sha256: sha256(body.as_bytes()),
        attempt: 0,
        steering: None,
        traceparent: None,
        body: body.to_owned().into(),
    }
}

fn mails(ids: &[&str]) -> Message {
    let events: Vec<String> = ids.iter().map(|id| format!(r#"{{"sg_event_id":"{id}", "event":"open"}}"#)).collect();
    let body = format!("[{}]\r\n", events.join(" , "));
    message("mails", "sendgrid", &hex(&sha256(body.as_bytes())), BATCH_TOPIC, &body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_retry_that_overlaps_half_a_body_processes_the_other_half() {
    run(async |stack| {
        let worker = worker_with(&stack, &configured(&stack)).await;
        stack.publish(&mails(&["a", "b"])).await;
        processed(&stack, 2).await;
        stack.publish(&mails(&["b", "c", "d"])).await;
        stack.publish(&mails(&["a", "b"])).await;
        processed(&stack, 4).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 3).await;
        number(&stack, "SELECT count(*) FROM processed_webhooks WHERE topic = 'open'", 4).await;
        let query =
            "SELECT count(*) FROM webhook_payloads WHERE body = '{\"sg_event_id\":\"a\", \"event\":\"open\"}'::bytea";
        number(&stack, query, 1).await;
        let metrics = worker.metrics().await;
        assert!(metrics.contains(r#"webhook_bundle_elements_total{source="mails"} 7"#), "{metrics}");
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// The bodies that a worker holds leave only when their elements are published: those must not wait for room that only
/// acknowledged bodies would make.
#[tokio::test]
async fn bodies_with_many_webhooks_do_not_stand_in_each_others_way_when_the_queue_is_full() {
    run(async |stack| {
        let config = stack.configure(|text| {
            let text = replace(&quicken(text), "max_bytes = 4294967296", "max_bytes = 1048576");
            let text = replace(&text, "batch_size = 100", "batch_size = 5");
            format!("{}{SOURCES}", replace(&text, "prefetch = 300", "prefetch = 5"))
        });
        let connection = stack.broker().await;
        Topology::new(&Config::load(&config).unwrap().queue).declare(&connection).await.unwrap();
        let padding = "x".repeat(350);
        let body = |body: u32| {
            let event = |event| format!(r#"{{"sg_event_id":"{body}-{event}","event":"open","pad":"{padding}"}}"#);
            let events: Vec<String> = (0..50).map(event).collect();
            message("mails", "sendgrid", &format!("body-{body}"), BATCH_TOPIC, &format!("[{}]", events.join(",")))
        };
        let waiting = async {
            for number in 0..150 {
                stack.publish(&body(number)).await;
            }
        };
        let working = async {
            until("the queue is full", || async { (stack.ready(&stack.topology.webhooks()).await > 45).then_some(()) })
                .await;
            let worker = worker_with(&stack, &config).await;
            processed(&stack, 150 * 50).await;
            assert!(worker.terminate().await.success());
        };
        tokio::join!(waiting, working);
    })
    .await;
}

#[tokio::test]
async fn an_element_without_an_id_parks_its_body_and_holds_up_nobody() {
    run(async |stack| {
        let worker = worker_with(&stack, &configured(&stack)).await;
        let mut body = mails(&["a", "b"]);
        body.body = r#"[{"sg_event_id":"a","event":"open"},{"sg_event_id":"","event":"open"}]"#.into();
        body.body_sha256 = sha256(&body.body);
        stack.publish(&body).await;
        let broken = message("mails", "sendgrid", "broken", BATCH_TOPIC, "no list at all");
        stack.publish(&broken).await;
        processed(&stack, 1).await;
        let mut expected = [body.id, broken.id];
        expected.sort();
        assert_eq!(parked(&stack, "unreadable", 2).await, expected);
        assert!(worker.terminate().await.success());
    })
    .await;
}

/// Nobody claims the body itself, so its failures would tell of a retry for as long as they are kept.
#[tokio::test]
async fn a_body_of_a_source_that_was_unknown_is_not_retried_any_more_once_it_is_taken_apart() {
    run(async |stack| {
        let patient = |text: &str| replace(text, "retry_delays_s = [1, 2]", "retry_delays_s = [1, 2, 3, 4, 5, 6]");
        let unknowing = worker_with(&stack, &stack.configure(|text| patient(&quicken(text)))).await;
        stack.publish(&mails(&["a", "b"])).await;
        let retried = "SELECT least(count(*), 1) FROM webhook_failures WHERE outcome = 'retry'";
        number(&stack, retried, 1).await;
        assert!(unknowing.terminate().await.success());
        let config = stack.configure(|text| format!("{}{SOURCES}", patient(&quicken(text))));
        let worker = worker_with(&stack, &config).await;
        processed(&stack, 2).await;
        assert_eq!(stack.database.number(retried).await, 0);
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_body_without_elements_is_done() {
    run(async |stack| {
        let worker = worker_with(&stack, &configured(&stack)).await;
        stack.publish(&message("mails", "sendgrid", "empty", BATCH_TOPIC, "[]")).await;
        stack.publish(&mails(&["last"])).await;
        processed(&stack, 1).await;
        assert!(worker.terminate().await.success());
        assert_eq!(stack.ready(&stack.topology.webhooks()).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_captured_body_under_a_fresh_id_is_dropped_or_told() {
    run(async |stack| {
        let worker = worker_with(&stack, &configured(&stack)).await;
        for source in ["strict", "told"] {
            for (id, topic) in [("w1", "paid"), ("w2", "paid"), ("w3", "created"), ("w1", "paid"), ("w4", "paid")] {
                stack.publish(&message(source, "generic", id, topic, r#"{"order":1}"#)).await;
            }
        }
        processed(&stack, 8).await;
        let left_out = "SELECT count(*) FROM processed_webhooks WHERE skips @> '[{\"by\":\"replay-defence\"}]'";
        number(&stack, &format!("{left_out} AND source = 'strict' AND webhook_id IN ('w2', 'w4')"), 2).await;
        number(&stack, left_out, 2).await;
        number(
            &stack,
            "SELECT duplicates::int8 FROM processed_webhooks WHERE source = 'strict' AND webhook_id = 'w1'",
            3,
        )
        .await;
        number(
            &stack,
            "SELECT duplicates::int8 FROM processed_webhooks WHERE source = 'told' AND webhook_id = 'w1'",
            1,
        )
        .await;
        let metrics = worker.metrics().await;
        assert!(metrics.contains(r#"webhook_replays_total{source="strict",outcome="dropped"} 2"#), "{metrics}");
        assert!(metrics.contains(r#"webhook_replays_total{source="told",outcome="flagged"} 2"#), "{metrics}");
        assert!(worker.terminate().await.success());
    })
    .await;
}
