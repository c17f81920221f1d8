//! What ingest answers: every status, in the order in which they are decided.

use crate::harness::{Answer, Ingest, SECRETS, Webhook, run};
use rstest::rstest;

const ORDER: &[u8] = br#"{"id":1,"line_items":[{"sku":"A","quantity":2}]}"#;

fn paid(id: &str) -> Webhook {
    Webhook::new("shopify", id, "orders/paid", ORDER)
}

#[tokio::test]
async fn every_providers_genuine_webhook_is_accepted() {
    run("", async |ingest| {
        for (source, _) in SECRETS {
            let answer = ingest.send(&Webhook::new(source, "id-1", "topic", ORDER).request()).await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, r#"{"status":"accepted","id":"id-1"}"#),
                "{source}"
            );
            assert_eq!(answer.headers["content-type"], "application/json");
            assert_eq!(ingest.broker.take().await.source.as_str(), source);
        }
    })
    .await;
}

#[tokio::test]
async fn a_duplicate_is_answered_to_the_byte() {
    run("", async |ingest| {
        let mut connection = ingest.connect().await;
        let mut answers = Vec::new();
        for _ in 0..3 {
            let mut answer = connection.exchange(&paid("w-1").request()).await;
            answer.headers.remove("date");
            answers.push(answer);
        }
        assert_eq!(answers[0].status, 200);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    })
    .await;
}

#[tokio::test]
async fn an_unverified_source_takes_anything_with_an_id() {
    run("", async |ingest| {
        let request = b"POST /webhooks/open HTTP/1.1\r\nhost: t\r\nx-idempotency-key: 1\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(ingest.send(request).await.status, 200);
        let message = ingest.broker.take().await;
        assert_eq!((message.id.as_str(), message.topic.as_str()), ("1", "untyped"));
    })
    .await;
}

/// Refused, and nothing of it on the queue.
async fn refused(ingest: &Ingest, request: &[u8], status: u16, problem: &str) -> Answer {
    let answer = ingest.send(request).await;
    assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{}", String::from_utf8_lossy(request));
    assert!(ingest.broker.is_empty().await);
    answer
}

#[rstest]
#[case::get("GET")]
#[case::put("PUT")]
#[case::delete("DELETE")]
#[case::options("OPTIONS")]
#[tokio::test]
async fn other_methods_are_405(#[case] method: &str) {
    run("", async |ingest| {
        for source in ["shopify", "nobody"] {
            let request = format!("{method} /webhooks/{source} HTTP/1.1\r\nhost: t\r\n\r\n");
            let answer = refused(ingest, request.as_bytes(), 405, "method-not-allowed").await;
            assert_eq!(answer.headers["allow"], "POST");
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_sources_and_paths_are_404() {
    run("", async |ingest| {
        for source in ["nobody", "SHOPIFY", "shopify%2f", "%00", "shopify%20", &"x".repeat(5000)] {
            let mut webhook = paid("1");
            webhook.source = source.to_owned();
            refused(ingest, &webhook.request(), 404, "unknown-source").await;
        }
        for path in ["/", "/webhooks", "/webhooks/", "/webhooks/shopify/", "/webhooks/shopify/x", "/metrics", "/readyz"]
        {
            let request = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n");
            refused(ingest, request.as_bytes(), 404, "not-found").await;
        }
    })
    .await;
}

#[tokio::test]
async fn compressed_bodies_are_415() {
    run("", async |ingest| {
        for coding in ["gzip", "br", "deflate, gzip", "identity, gzip", "x"] {
            let answer =
                refused(ingest, &paid("1").with("content-encoding", coding).request(), 415, "content-encoding").await;
            assert_eq!(answer.headers["accept-encoding"], "identity");
        }
        let twice = paid("1").with("content-encoding", "identity").with("content-encoding", "gzip");
        refused(ingest, &twice.request(), 415, "content-encoding").await;
        assert_eq!(ingest.send(&paid("1").with("content-encoding", "Identity").request()).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn forged_webhooks_are_401_and_learn_nothing() {
    run("", async |ingest| {
        let genuine = paid("1");
        let mut body = genuine.clone();
        body.body[0] ^= 1;
        let mut other = Webhook::new("github", "1", "t", ORDER).with("x-shopify-hmac-sha256", "AAAA");
        other.source = "shopify".to_owned();
        let unsigned = genuine.clone().without("shopify-hmac-sha256");
        let twice = genuine.clone().with("Shopify-Hmac-Sha256", "AAAA");
        let empty = unsigned.clone().with("Shopify-Hmac-Sha256", "");
        let mut documents = Vec::new();
        for forged in [body, other, unsigned, twice, empty] {
            documents.push(refused(ingest, &forged.request(), 401, "signature-refused").await.body);
        }
        documents.dedup();
        assert_eq!(documents.len(), 1, "a forger can tell the reasons apart");
        assert_eq!(
            documents[0],
            r#"{"type":"urn:oncehook:problem:signature-refused","title":"The webhook could not be verified","status":401}"#
        );
    })
    .await;
}

#[tokio::test]
async fn genuine_webhooks_without_a_usable_id_are_400() {
    run("", async |ingest| {
        let without = paid("1").without("shopify-webhook-id");
        let answer = refused(ingest, &without.request(), 400, "webhook-malformed").await;
        assert!(answer.json()["detail"].as_str().unwrap().contains("X-Shopify-Webhook-Id"));
        for id in ["", &"x".repeat(256), "a\tb", "ü"] {
            let request = without.clone().with("X-Shopify-Webhook-Id", id).request();
            refused(ingest, &request, 400, "webhook-malformed").await;
        }
        let twice = without.clone().with("X-Shopify-Webhook-Id", "1").with("X-Shopify-Webhook-Id", "1");
        refused(ingest, &twice.request(), 400, "webhook-malformed").await;
        refused(ingest, &paid("1").without("shopify-topic").request(), 400, "webhook-malformed").await;
        let longest = without.with("X-Shopify-Webhook-Id", &"x".repeat(255));
        assert_eq!(ingest.send(&longest.request()).await.status, 200);
    })
    .await;
}

/// A request with every fault gets the first answer; each fault put right gets the next one.
#[tokio::test]
async fn answers_are_decided_in_their_order() {
    run("[ingest]\nbody_timeout_ms = 300\n", async |ingest| {
        let faults = |method: &str, source: &str, coding: &str, length: usize| {
            format!(
                "{method} /webhooks/{source} HTTP/1.1\r\nhost: t\r\n{coding}content-length: {length}\r\nx-hub-signature-256: sha256=00\r\n\r\n"
            )
            .into_bytes()
        };
        let gzip = "content-encoding: gzip\r\n";
        refused(ingest, &faults("PUT", "nobody", gzip, 1 << 30), 405, "method-not-allowed").await;
        refused(ingest, &faults("POST", "nobody", gzip, 1 << 30), 404, "unknown-source").await;
        refused(ingest, &faults("POST", "github", gzip, 1 << 30), 415, "content-encoding").await;
        refused(ingest, &faults("POST", "github", "", 1 << 30), 413, "body-too-large").await;
        refused(ingest, &faults("POST", "github", "", 10), 408, "body-too-slow").await;
        let whole = [faults("POST", "github", "", 2), b"{}".to_vec()].concat();
        refused(ingest, &whole, 401, "signature-refused").await;
        let genuine = Webhook::new("github", "1", "t", b"{}").without("x-github-delivery");
        refused(ingest, &genuine.request(), 400, "webhook-malformed").await;
    })
    .await;
}

#[tokio::test]
async fn broken_requests_break_nothing() {
    run("", async |ingest| {
        let garbage: [&[u8]; 6] = [
            b"\r\n\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /webhooks/shopify HTTP/9.9\r\n\r\n",
            b"POST /webhooks/shopify HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            b"POST /webhooks/shopify HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /webhooks/shopify HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        ];
        for request in garbage {
            let mut connection = ingest.connect().await;
            connection.write(request).await;
            if let Some(answer) = connection.answer().await {
                assert!((400..500).contains(&answer.status), "{answer:?} to {}", String::from_utf8_lossy(request));
            }
        }
        let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
        let many = format!("POST /webhooks/shopify HTTP/1.1\r\nhost: t\r\n{many}content-length: 0\r\n\r\n");
        assert!((400..500).contains(&ingest.send(many.as_bytes()).await.status));
        let long = format!("POST /webhooks/shopify HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(200_000));
        let mut connection = ingest.connect().await;
        connection.write(long.as_bytes()).await;
        if let Some(answer) = connection.answer().await {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        assert!(ingest.broker.is_empty().await);
        assert_eq!(ingest.send(&paid("1").request()).await.status, 200);
    })
    .await;
}
