//! Paths: one handler on the public port, three on the ops port, and no way from one to the other.

use crate::harness::{Connection, Webhook, run};
use rstest::rstest;

const OPS_PATHS: [&str; 3] = ["/metrics", "/readyz", "/livez"];

#[rstest]
#[case::up("/webhooks/../metrics")]
#[case::up_encoded("/webhooks/%2e%2e/metrics")]
#[case::up_as_the_source("/webhooks/..")]
#[case::up_as_the_source_encoded("/webhooks/%2e%2e")]
#[case::up_with_an_encoded_slash("/webhooks/..%2fmetrics")]
#[case::up_with_a_backslash("/webhooks/..\\metrics")]
#[case::here("/webhooks/./generic")]
#[case::here_in_front("/./webhooks/generic")]
#[case::doubled_slash("/webhooks//generic")]
#[case::doubled_slash_in_front("//webhooks/generic")]
#[case::slash_behind("/webhooks/generic/")]
#[case::encoded_slash("/webhooks%2fgeneric")]
#[case::encoded_slash_behind("/webhooks/generic%2f")]
#[case::nul("/webhooks/generic%00")]
#[case::nul_in_front("/webhooks/%00generic")]
#[case::line_break("/webhooks/generic%0d%0a")]
#[case::parameters("/webhooks/generic;a=b")]
#[case::upper_case("/WEBHOOKS/generic")]
#[case::not_utf8("/webhooks/%ff%fe")]
#[case::half_an_escape("/webhooks/generic%2")]
#[case::escaped_twice("/webhooks/%2567eneric")]
#[case::all("*")]
#[case::somewhere_else("http://example.com/metrics")]
#[case::no_slash("webhooks/generic")]
#[case::metrics("/metrics")]
#[case::metrics_asked("/metrics?name=webhook_requests")]
#[case::ready("/readyz")]
#[case::alive("/livez")]
#[case::health("/healthz")]
#[case::admin("/admin")]
#[case::root("/")]
#[tokio::test]
async fn no_other_path_leads_anywhere(#[case] path: &str) {
    run("", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}");
        for method in ["POST", "GET", "HEAD"] {
            let line = format!("{method} {path} HTTP/1.1");
            let head = webhook.head().replacen("POST /webhooks/generic HTTP/1.1", &line, 1);
            let mut connection = ingest.connect().await;
            connection.write(format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes()).await;
            let head = connection.head().await.unwrap();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            // 405: the path is a webhook's, and only POST is served there.
            let wanted: &[u16] = if method == "POST" { &[400, 404] } else { &[400, 404, 405] };
            assert!(wanted.contains(&status), "{line}: {head}");
        }
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

/// The same path in other words: what RFC 3986 says is the same is the same here.
#[tokio::test]
async fn the_same_path_in_other_words_is_the_same() {
    run("", async |ingest| {
        let paths = ["/webhooks/%67eneric", "/webhooks/generic?a=b", "http://t/webhooks/generic", "/webhooks/generic?"];
        for path in paths {
            let webhook = Webhook::new("generic", "1", "t", b"{}");
            let forged = webhook.clone().without("x-signature-256");
            let at = |webhook: &Webhook| {
                String::from_utf8(webhook.request()).unwrap().replacen("/webhooks/generic", path, 1)
            };
            assert_eq!(ingest.send(at(&webhook).as_bytes()).await.status, 200, "{path}");
            assert_eq!(ingest.send(at(&forged).as_bytes()).await.status, 401, "{path}");
            assert_eq!(ingest.broker.take().await.source.as_str(), "generic");
        }
    })
    .await;
}

#[tokio::test]
async fn long_paths_and_raw_bytes_are_refused() {
    run("", async |ingest| {
        let long = "x".repeat(60_000);
        let longer = "x".repeat(100_000);
        for path in
            [long.as_bytes(), longer.as_bytes(), b"/webhooks/\xff\xfe", b"/webhooks/\x01", b"/webhooks/gen eric"]
        {
            let mut connection = ingest.connect().await;
            connection
                .write(&[b"POST /webhooks/", path, b" HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"].concat())
                .await;
            let answer = connection.answer().await.unwrap();
            assert!([400, 404, 414, 431].contains(&answer.status), "{answer:?}");
            connection.closed().await;
        }
        let metrics = ingest.ops("/metrics").await.body;
        assert!(!metrics.contains("xxx"), "{metrics}");
    })
    .await;
}

#[tokio::test]
async fn the_ops_port_takes_no_webhooks_and_only_reads() {
    run("", async |ingest| {
        let ops = async |request: &[u8]| Connection::open(ingest.ops_port).await.exchange(request).await.status;
        assert_eq!(ops(&Webhook::new("generic", "1", "t", b"{}").request()).await, 404);
        for path in ["/", "/webhooks", "/webhooks/generic", "/admin", "/../etc/passwd"] {
            assert_eq!(ops(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).await, 404, "{path}");
        }
        for path in OPS_PATHS {
            for method in ["POST", "PUT", "DELETE"] {
                let request = format!("{method} {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n");
                assert!([404, 405].contains(&ops(request.as_bytes()).await), "{method} {path}");
            }
            assert_eq!(ops(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).await, 200, "{path}");
        }
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}
