//! What is on the queue: the raw bytes, and beside them what the worker needs to know.

use crate::harness::{SECRETS, Webhook, run};
use shared::message::sha256;
use time::OffsetDateTime;

#[tokio::test]
async fn the_body_is_the_providers_byte_for_byte() {
    run("", async |ingest| {
        let bodies: [&[u8]; 5] = [
            b"",
            br#"{ "spaces" : "kept",  "order": [3, 1, 2] }"#,
            "ü \u{1F980} \u{0}".as_bytes(),
            &[0xff, 0x00, 0xfe, 0x0d, 0x0a],
            &[b'x'; 65_536],
        ];
        for (source, _) in SECRETS {
            for body in bodies {
                let webhook = Webhook::new(source, "1", "t", body);
                for request in [webhook.request(), webhook.chunked(1000)] {
                    let answer = ingest.send(&request).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let message = ingest.broker.take().await;
                    assert!(message.body == body, "{source}: {} bytes became {}", body.len(), message.body.len());
                    assert_eq!(message.body_sha256, sha256(body));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn properties_and_headers_say_what_it_is() {
    run("", async |ingest| {
        let webhook = Webhook::new("shopify", "w-1", "orders/paid", b"{}")
            .with("content-type", "application/json; charset=utf-8")
            .with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .with("X-Shopify-Shop-Domain", "a.example")
            .with("X-Shopify-Test", "true")
            .with("X-Death", "not ours")
            .with("Authorization", "not ours");
        let before = OffsetDateTime::now_utc();
        assert_eq!(ingest.send(&webhook.request()).await.status, 200);
        let raw = ingest.broker.take_raw().await;
        let properties = raw.delivery.properties.clone();
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "w-1");
        assert_eq!(properties.kind().as_ref().unwrap().as_str(), "shopify.orders/paid");
        let message = shared::message::decode(&properties, raw.delivery.data.into()).unwrap();
        assert_eq!((message.source.as_str(), message.provider.as_str()), ("shopify", "shopify"));
        assert_eq!((message.id.as_str(), message.topic.as_str()), ("w-1", "orders/paid"));
        assert_eq!(message.content_type.as_deref(), Some("application/json; charset=utf-8"));
        assert_eq!(message.traceparent.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert_eq!(message.attempt, 0);
        assert!((before..=OffsetDateTime::now_utc()).contains(&message.received_at));
        let mut headers = message.headers;
        headers.sort();
        let kept = [("x-shopify-shop-domain", "a.example"), ("x-shopify-test", "true")];
        assert_eq!(headers, kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
    })
    .await;
}

/// Only a person at the command line redrives and replays: no header and no id from outside looks like it.
#[tokio::test]
async fn nothing_from_outside_is_taken_for_a_replay() {
    run("", async |ingest| {
        let webhook = Webhook::new("shopify", "w1", "orders/paid", b"{}")
            .with("oncehook-steered-at", "2026-11-23T17:00:00Z")
            .with("oncehook-replay-of", "w0")
            .with("oncehook-replay-run", "r1")
            .with("oncehook-replay-mode", "resend");
        assert_eq!(ingest.send(&webhook.request()).await.status, 200);
        assert_eq!(ingest.broker.take().await.steering, None);
        let answer = ingest.send(&Webhook::new("generic", "\u{21bb}r1:w0", "t", b"{}").request()).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_without_a_trace_begins_one() {
    run("", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}").with("traceparent", "nonsense");
        assert_eq!(ingest.send(&webhook.request()).await.status, 200);
        let traceparent = ingest.broker.take().await.traceparent.unwrap();
        assert_eq!((traceparent.len(), &traceparent[..3]), (55, "00-"));
    })
    .await;
}
