//! Strangers at speed: slow, endless and many. Genuine webhooks are answered meanwhile, and nothing grows without a bound.

use std::time::{Duration, Instant};

use crate::harness::{Broker, Connection, Ingest, Program, Webhook, run};
use rstest::rstest;

fn genuine(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

/// Genuine webhooks, one after the other for a while, all accepted and none slow.
async fn genuine_webhooks_pass(ingest: &Ingest, duration: Duration) {
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < duration {
        let sent = Instant::now();
        let answer = ingest.send(&genuine(&format!("genuine-{number}")).request()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
        number += 1;
    }
}

/// Writes piece after piece until the other side has closed; tells for how long.
async fn dripped(mut connection: Connection, begin: &[u8], piece: &[u8]) -> Duration {
    let began = Instant::now();
    connection.write(begin).await;
    while connection.write(piece).await {
        assert!(began.elapsed() < Duration::from_secs(10), "still listened to");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// Slow heads and slow bodies, forged and unsigned, from far more senders than there are places.
#[tokio::test]
async fn slow_senders_keep_no_place_from_others() {
    run("[ingest]\nmax_in_flight = 4\nhead_timeout_ms = 500\nbody_timeout_ms = 900\n", async |ingest| {
        let unsigned = genuine("1").without("x-signature-256").head();
        let forged = Webhook::new("shopify", "1", "t", b"[]").head();
        let bodies = format!("{unsigned}content-length: 60000\r\n\r\n");
        let chunks = format!("{forged}transfer-encoding: chunked\r\n\r\n");
        let heads = "POST /webhooks/generic HTTP/1.1\r\n".to_owned();
        let kinds = [(heads, "x-a: b\r\n"), (bodies, "x"), (chunks, "1\r\nx\r\n")];
        let slow = kinds.iter().flat_map(|kind| std::iter::repeat_n(kind, 60)).map(async |(begin, piece)| {
            let lasted = dripped(ingest.connect().await, begin.as_bytes(), piece.as_bytes()).await;
            // A head, a body, and a second to read the answer in.
            assert!(lasted < Duration::from_secs(6), "{lasted:?}");
        });
        let passing = genuine_webhooks_pass(ingest, Duration::from_secs(3));
        tokio::join!(futures_util::future::join_all(slow), passing);
        ingest.counted("webhook_requests_in_flight 0").await;
        ingest.counted("webhook_requests_in_flight_bytes 0").await;
    })
    .await;
}

/// A body that never ends, in ways that its length says nothing about.
#[rstest]
#[case::extension("2;", "a=b;", 408)]
#[case::zeros_before_the_size("", "0", 408)]
#[case::space_behind_the_size("2", " ", 408)]
#[case::trailers("0\r\n", "x-a: b\r\n", 408)]
#[case::small_chunks("", "1\r\nx\r\n", 413)]
#[case::small_chunks_with_extensions("", "1;abcdefghijklmnopqrstuvwxyz\r\nx\r\n", 413)]
#[case::one_large_chunk("7fffffff\r\n", "xxxxxxxxxxxxxxxx", 413)]
#[tokio::test]
async fn an_endless_body_is_ended(#[case] begin: &str, #[case] piece: &str, #[case] status: u16) {
    run("[ingest]\nbody_timeout_ms = 900\n", async |ingest| {
        let began = Instant::now();
        let head = genuine("1").head();
        let mut connection = ingest.connect().await;
        connection.write(format!("{head}transfer-encoding: chunked\r\n\r\n{begin}").as_bytes()).await;
        let pieces = piece.repeat(4096);
        while !connection.heard() {
            connection.write(pieces.as_bytes()).await;
            assert!(began.elapsed() < Duration::from_secs(5), "still listened to");
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.answer().await.unwrap().status, status);
        connection.closed().await;
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

#[rstest]
#[case::many("x-a: b\r\n", 100)]
#[case::very_many("x-a: b\r\n", 10_000)]
#[case::empty("x:\r\n", 97)]
#[case::the_same("content-type: a\r\n", 1_000)]
#[case::large("x-a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 5_000)]
#[tokio::test]
async fn a_flood_of_headers_is_refused(#[case] header: &str, #[case] times: usize) {
    run("", async |ingest| {
        let flood = format!("{}{}content-length: 2\r\n\r\n{{}}", genuine("1").head(), header.repeat(times));
        let mut connection = ingest.connect().await;
        connection.write(flood.as_bytes()).await;
        let answers = connection.answers().await;
        assert!(answers.iter().all(|answer| answer.status == 431), "{answers:?}");
        genuine_webhooks_pass(ingest, Duration::from_millis(100)).await;
    })
    .await;
}

#[rstest]
#[case::value("x-a: ", "b")]
#[case::name("", "x")]
#[case::target("", "/x")]
#[tokio::test]
async fn a_very_long_line_is_refused(#[case] begin: &str, #[case] piece: &str) {
    run("", async |ingest| {
        let line = format!("{begin}{}", piece.repeat(300_000));
        let heads = [
            format!("POST /webhooks/generic HTTP/1.1\r\nhost: t\r\n{line}\r\n\r\n"),
            format!("POST {line} HTTP/1.1\r\nhost: t\r\n\r\n"),
        ];
        for head in heads {
            let mut connection = ingest.connect().await;
            connection.write(head.as_bytes()).await;
            let answers = connection.answers().await;
            assert!(answers.iter().all(|answer| [400, 431].contains(&answer.status)), "{answers:?}");
        }
        genuine_webhooks_pass(ingest, Duration::from_millis(100)).await;
    })
    .await;
}

fn series(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.starts_with('#')).count()
}

/// Thousands of refusals cost a few lines of log, and no more series than there are kinds of refusals.
#[tokio::test]
async fn strangers_fill_neither_log_nor_metrics() {
    let broker = Broker::connect().await;
    let program = Program::start(&broker, |_| {});
    program.ready().await;
    let storm = async |round: usize| {
        let requests = (0..300).map(|number| {
            let unknown =
                format!("POST /webhooks/made-up-{round}-{number} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n");
            let path = format!("GET /made-up/{round}/{number} HTTP/1.1\r\nhost: t\r\n\r\n");
            let method = format!("MADEUP{number} /webhooks/generic HTTP/1.1\r\nhost: t\r\n\r\n");
            let malformed = format!("made-up {round} {number}\r\n\r\n");
            let forged = genuine(&format!("made-up-{number}")).without("x-signature-256").request();
            [unknown.into_bytes(), path.into_bytes(), method.into_bytes(), malformed.into_bytes(), forged]
        });
        for request in requests.flatten() {
            let mut connection = Connection::open(program.port).await;
            connection.write(&request).await;
            let answer = connection.answer().await.unwrap();
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    };
    let began = Instant::now();
    storm(0).await;
    let after_one = series(&program.ops("/metrics").await.body);
    storm(1).await;
    let metrics = program.ops("/metrics").await.body;
    assert_eq!(series(&metrics), after_one, "{metrics}");
    assert!(!metrics.contains("made-up"), "{metrics}");
    let log = program.log();
    let budget = 20 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 2) + 20;
    assert!(log.lines().count() <= budget, "{} lines, at most {budget} expected:\n{log}", log.lines().count());
    assert!(!log.contains("made-up"), "{log}");
    assert_eq!(program.send(&genuine("1").request()).await.status, 200);
    drop(program);
    broker.clean_up().await;
}
