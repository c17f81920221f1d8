//! Connections: several requests on one, none after the last one, no more of them than are allowed, and none that
//! a stranger can sit on.

use std::time::{Duration, Instant};

use crate::harness::{Connection, Ingest, Webhook, run, until};

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

/// What is on the queue, in its order, is these and no more.
async fn queued(ingest: &Ingest, ids: &[&str]) {
    for id in ids {
        assert_eq!(ingest.broker.take().await.id, *id);
    }
    assert!(ingest.broker.is_empty().await);
}

#[tokio::test]
async fn pipelined_webhooks_are_answered_in_their_order() {
    run("", async |ingest| {
        let ids = ["1", "2", "3", "4", "5"];
        let mut connection = ingest.connect().await;
        connection.write(&ids.map(|id| webhook(id).request()).concat()).await;
        for id in ids {
            let answer = connection.answer().await.unwrap();
            assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(id)));
        }
        queued(ingest, &ids).await;
    })
    .await;
}

/// Neither behind an answer that closes, nor behind a request that does (RFC 9112, 9.6).
#[tokio::test]
async fn what_is_sent_behind_the_last_request_is_not_looked_at() {
    run("", async |ingest| {
        let refusals = [
            webhook("0").without("x-signature-256").request(),
            webhook("0").with("content-encoding", "gzip").request(),
            b"POST /webhooks/nobody HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
            b"GET / HTTP/1.1\r\nhost: t\r\n\r\n".to_vec(),
        ];
        for refused in refusals {
            let mut connection = ingest.connect().await;
            connection.write(&[refused, webhook("behind").request(), webhook("behind").request()].concat()).await;
            let answers = connection.answers().await;
            assert!(answers.len() == 1 && (400..500).contains(&answers[0].status), "{answers:?}");
            assert_eq!(answers[0].headers["connection"], "close");
        }
        for last in [webhook("last").with("connection", "close"), webhook("last").with("connection", "x, Close")] {
            let mut connection = ingest.connect().await;
            connection.write(&[last.request(), webhook("behind").request()].concat()).await;
            let answers = connection.answers().await;
            assert!(answers.len() == 1 && answers[0].status == 200, "{answers:?}");
        }
        queued(ingest, &["last", "last"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    run("", async |ingest| {
        let webhook = webhook("1").with("expect", "100-continue");
        let mut connection = ingest.connect().await;
        connection.write(format!("{}content-length: 2\r\n\r\n", webhook.head()).as_bytes()).await;
        assert_eq!(connection.answer().await.unwrap().status, 100);
        assert_eq!(connection.exchange(b"{}").await.status, 200);
        let mut connection = ingest.connect().await;
        connection.write(format!("{}content-length: 99999999\r\n\r\n", webhook.head()).as_bytes()).await;
        let statuses: Vec<_> = connection.answers().await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [100, 413]);
        queued(ingest, &["1"]).await;
    })
    .await;
}

/// Who has not signed anything cannot keep a connection from others: whether they say nothing, or are refused.
#[tokio::test]
async fn strangers_keep_no_connection() {
    run("[ingest]\nhead_timeout_ms = 300\nkeep_alive_s = 60\n", async |ingest| {
        let began = Instant::now();
        ingest.connect().await.closed().await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let mut refused = ingest.connect().await;
        refused.write(&webhook("1").without("x-signature-256").request()).await;
        assert_eq!(refused.answers().await.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401]);
        let mut known = ingest.connect().await;
        assert_eq!(known.exchange(&webhook("1").request()).await.status, 200);
        assert_eq!(known.exchange(&webhook("2").request()).await.status, 200);
    })
    .await;
}

fn gauge(metrics: &str, name: &str) -> usize {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap()
}

/// Beyond the cap, connections wait until there is a place, and are served then.
#[tokio::test]
async fn no_more_connections_are_open_than_allowed() {
    run("[ingest]\nmax_connections = 4\nkeep_alive_s = 1\n", async |ingest| {
        let cap = 4_usize.next_multiple_of(std::thread::available_parallelism().unwrap().get());
        let mut known = Vec::new();
        for number in 0..cap {
            let mut connection = ingest.connect().await;
            assert_eq!(connection.exchange(&webhook(&number.to_string()).request()).await.status, 200);
            known.push(connection);
        }
        assert_eq!(gauge(&ingest.ops("/metrics").await.body, "webhook_connections"), cap);
        ingest.counted("webhook_connections_limit 4").await;
        let waiting = async {
            let waiting = (0..3 * cap).map(|_| async {
                let mut connection = Connection::open(ingest.port).await;
                connection.write(&webhook("waits").with("connection", "close").request()).await;
                assert_eq!(connection.answer().await.unwrap().status, 200);
            });
            futures_util::future::join_all(waiting).await;
        };
        let watching = async {
            loop {
                let open = gauge(&ingest.ops("/metrics").await.body, "webhook_connections");
                assert!(open <= cap, "{open} connections are open");
            }
        };
        tokio::select! { () = waiting => {}, () = watching => {} }
        until("all are closed", async || {
            ingest.ops("/metrics").await.body.contains("webhook_connections 0\n").then_some(())
        })
        .await;
    })
    .await;
}
