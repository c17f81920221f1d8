//! Bounds of time, size and number.

use std::time::{Duration, Instant};

use crate::harness::{Webhook, by_way_of, free_address, run, run_at, until};
use testing::gate::Gate;

#[tokio::test]
async fn a_slow_body_is_408_and_the_connection_closes() {
    run("[ingest]\nbody_timeout_ms = 400\nkeep_alive_s = 1\n", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}");
        for framing in ["content-length: 2", "transfer-encoding: chunked"] {
            let mut connection = ingest.connect().await;
            let began = Instant::now();
            connection.write(format!("{}{framing}\r\n\r\n", webhook.head()).as_bytes()).await;
            let answer = connection.answer().await.unwrap();
            assert_eq!((answer.status, answer.problem().as_str()), (408, "body-too-slow"));
            assert!((300..1500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
            assert_eq!(answer.headers["connection"], "close");
            connection.closed().await;
        }
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

/// A byte now and then doesn't extend the deadline.
#[tokio::test]
async fn a_dripping_body_is_408() {
    run("[ingest]\nbody_timeout_ms = 400\n", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", &[b'x'; 1000]);
        let mut connection = ingest.connect().await;
        let began = Instant::now();
        connection.write(format!("{}content-length: 1000\r\n\r\n", webhook.head()).as_bytes()).await;
        while began.elapsed() < Duration::from_millis(700) && connection.write(b"x").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(connection.answer().await.unwrap().status, 408);
    })
    .await;
}

#[tokio::test]
async fn a_slow_head_is_ended() {
    run("[ingest]\nhead_timeout_ms = 500\n", async |ingest| {
        let mut connection = ingest.connect().await;
        let began = Instant::now();
        connection.write(b"POST /webhooks/generic HTTP/1.1\r\nhost: t\r\n").await;
        if let Some(answer) = connection.answer().await {
            assert_eq!(answer.status, 408);
        }
        connection.closed().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn an_oversized_body_is_413() {
    run("", async |ingest| {
        let largest = Webhook::new("generic", "1", "t", &vec![b'x'; 65_536]);
        assert_eq!(ingest.send(&largest.request()).await.status, 200);
        assert_eq!(ingest.send(&largest.chunked(999)).await.status, 200);
        for _ in 0..2 {
            ingest.broker.take().await;
        }
        let too_large = Webhook::new("generic", "1", "t", &vec![b'x'; 65_537]);
        for request in [too_large.request(), too_large.chunked(999), too_large.chunked(65_537)] {
            let answer = ingest.send(&request).await;
            assert_eq!((answer.status, answer.problem().as_str()), (413, "body-too-large"));
            assert_eq!(answer.json()["detail"], "At most 65536 bytes.");
        }
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

/// The answer doesn't wait for a body that is announced to be too large.
#[tokio::test]
async fn an_announced_oversized_body_is_not_read() {
    run("", async |ingest| {
        let head = Webhook::new("generic", "1", "t", b"").head();
        let mut connection = ingest.connect().await;
        let answer = connection.exchange(format!("{head}content-length: 99999999999\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, 413);
        connection.closed().await;
    })
    .await;
}

/// Eight megabytes are all that is allowed here; 128 bodies of 64 KiB but their last byte are waited for.
#[tokio::test]
async fn beyond_the_bytes_in_flight_it_is_503_at_once() {
    let limits = "[ingest]\nmax_in_flight_bytes = 8388608\nbody_timeout_ms = 1700\npublish_timeout_ms = 400\n";
    run(limits, async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}");
        let mut held = Vec::new();
        for framing in ["content-length: 65536\r\n\r\n", "transfer-encoding: chunked\r\n\r\nffff\r\n"].repeat(64) {
            let mut connection = ingest.connect().await;
            connection.write(format!("{}{framing}{}", webhook.head(), "x".repeat(65_535)).as_bytes()).await;
            held.push(connection);
        }
        ingest.counted("webhook_requests_in_flight_bytes 8388480").await;
        let answer = ingest.connect().await.exchange(&webhook.request()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));
        drop(held);
        until("they are gone", async || {
            (ingest.connect().await.exchange(&webhook.request()).await.status == 200).then_some(())
        })
        .await;
        ingest.counted("webhook_requests_in_flight_bytes 0").await;
    })
    .await;
}

/// An answer that closes the connection means it, whatever the sender goes on to send.
#[tokio::test]
async fn a_closed_connection_is_not_read_from_for_long() {
    run("", async |ingest| {
        let began = Instant::now();
        let mut connection = ingest.connect().await;
        connection.write(b"POST /webhooks/nobody HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n").await;
        assert_eq!(connection.answer().await.unwrap().status, 404);
        while connection.write(b"5\r\nhello\r\n").await {
            assert!(began.elapsed() < Duration::from_secs(10), "still read from after {:?}", began.elapsed());
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The broker holds its confirms back, so that two genuine webhooks stay in flight.
#[tokio::test]
async fn beyond_the_webhooks_in_flight_it_is_503_at_once() {
    let gate = Gate::to(by_way_of(free_address()).1).await;
    let limits = "[ingest]\nmax_in_flight = 2\nhead_timeout_ms = 100\nbody_timeout_ms = 500\npublish_timeout_ms = 2800\nretry_after_s = 7\n[spool]\nenabled = false\n";
    run_at(&by_way_of(gate.address).0, limits, async |ingest| {
        ingest.ready().await;
        gate.hold_clients();
        let webhook = |id| Webhook::new("generic", id, "t", b"{}");
        let mut waiting = Vec::new();
        for id in ["1", "2"] {
            let mut connection = ingest.connect().await;
            connection.write(&webhook(id).request()).await;
            waiting.push(connection);
        }
        ingest.counted("webhook_requests_in_flight 2").await;
        let began = Instant::now();
        let answer = ingest.send(&webhook("3").request()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));
        assert_eq!(answer.headers["retry-after"], "7");
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        // What is not genuine needs no place.
        assert_eq!(ingest.send(&webhook("4").without("x-signature-256").request()).await.status, 401);
        gate.release_clients();
        for mut connection in waiting {
            assert_eq!(connection.answer().await.unwrap().status, 200);
        }
        assert_eq!(ingest.send(&webhook("3").request()).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_hangs_up_leaves_nothing_behind() {
    run("", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}");
        for _ in 0..20 {
            let mut connection = ingest.connect().await;
            connection.write(format!("{}content-length: 2\r\n\r\n{{", webhook.head()).as_bytes()).await;
        }
        until("all is quiet again", async || {
            let metrics = ingest.ops("/metrics").await.body;
            let quiet =
                metrics.contains("webhook_requests_in_flight 0\n") && metrics.contains("webhook_connections 0\n");
            quiet.then_some(())
        })
        .await;
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

/// What follows a refused request on its connection is not taken for a body, and a sender that never ends
/// its chunks is not listened to for ever.
#[tokio::test]
async fn an_unread_body_does_not_hold_the_connection() {
    run("[ingest]\nkeep_alive_s = 1\n", async |ingest| {
        let head = "POST /webhooks/nobody HTTP/1.1\r\nhost: t\r\n";
        for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
            let mut connection = ingest.connect().await;
            connection.write(format!("{head}{framing}\r\n\r\n5\r\nhello\r\n").as_bytes()).await;
            assert_eq!(connection.answer().await.unwrap().status, 404);
            connection.closed().await;
        }
    })
    .await;
}

/// A second request's head, begun and never ended, is bounded too.
#[tokio::test]
async fn a_slow_second_head_is_ended() {
    run("[ingest]\nkeep_alive_s = 1\n", async |ingest| {
        let mut connection = ingest.connect().await;
        assert_eq!(connection.exchange(&Webhook::new("generic", "1", "t", b"{}").request()).await.status, 200);
        connection.write(b"POST /webhooks/generic HTTP/1.1\r\nhost").await;
        connection.closed().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    run("[ingest]\nkeep_alive_s = 1\n", async |ingest| {
        let mut connection = ingest.connect().await;
        assert_eq!(connection.exchange(&Webhook::new("generic", "1", "t", b"{}").request()).await.status, 200);
        connection.closed().await;
    })
    .await;
}
