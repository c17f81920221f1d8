//! How calls leave: signed, once a key, and each kind of failure told apart.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use shared::message::Message;
use testing::http_sink::{Call, HttpSink};
use testing::orders::Order;
use testing::process::Service;
use testing::{Stack, replace, run};

use crate::scene::{number, options, quicken, stock, worker_with};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A configuration with one more effect, that calls a path of the sink.
fn calling(stack: &Stack, sink: &HttpSink, path: &str, more: &str) -> PathBuf {
    let (secret, url) = (stack.directory.join("secret"), sink.url(path));
    std::fs::write(&secret, SECRET).unwrap();
    stack.configure(|text| {
        let text = replace(
            &quicken(text),
            r#"effects = ["decrement-stock", "order-confirmation"]"#,
            r#"effects = ["decrement-stock", "tell-warehouse"]"#,
        );
        format!(
            "{text}\n[effects.http.tell-warehouse]\nurl = \"{url}\"\nmap = '{{key: .id, body: {{order: .name}}}}'\n\
             secret = {{ file = \"{}\" }}\nallow_private = true\n{more}\n",
            secret.display()
        )
    })
}

/// One order's call; its row ends in `state`.
async fn call_for(stack: &Stack, sink: &HttpSink, id: u64, state: &str) -> Vec<Call> {
    let order = Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"));
    stack.publish(&Message { traceparent: Some(TRACE.to_owned()), ..order }).await;
    let key = format!("tell-warehouse/shopify/{id}");
    number(stack, &format!("SELECT count(*) FROM outbox WHERE dedupe_key = '{key}' AND state = '{state}'"), 1).await;
    sink.calls()
}

async fn row(stack: &Stack, id: u64) -> (bool, i32) {
    let client = stack.database.client().await;
    let query = "SELECT ambiguous, attempts FROM outbox WHERE dedupe_key = $1";
    let row = client.query_one(query, &[&format!("tell-warehouse/shopify/{id}")]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_call_is_made_once_a_key_and_signed_as_standard_webhooks() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let sink = HttpSink::start().await;
        let worker = worker_with(&stack, &calling(&stack, &sink, "/ok", "")).await;
        call_for(&stack, &sink, 1, "sent").await;
        // The same order under another id: the key holds.
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("again")).await;
        number(&stack, "SELECT count(*) FROM processed_webhooks", 2).await;
        let calls = call_for(&stack, &sink, 2, "sent").await;
        assert_eq!(calls.len(), 2, "{calls:?}");
        let call = &calls[0];
        assert_eq!((call.path.as_str(), call.body.as_str()), ("/ok", r##"{"order":"#1"}"##));
        assert_eq!(call.headers["content-type"], "application/json");
        assert_eq!(call.headers["webhook-id"], call.key());
        assert!(call.headers["user-agent"].starts_with("Oncehook/"));
        assert_eq!(call.headers["traceparent"], TRACE, "without spans of its own the worker passes the context on");
        let key = BASE64.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let signed = format!("{}.{}.{}", call.key(), call.headers["webhook-timestamp"], call.body);
        let signature = BASE64.decode(call.headers["webhook-signature"].trim_start_matches("v1,")).unwrap();
        aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn each_answer_of_a_peer_is_told_apart() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let sink = HttpSink::start().await;
        // (path, the row's end, ambiguous, attempts): what the peer said is its word, silence is nobody's.
        let answers = [
            ("/once/503", "sent", false, 2),
            ("/busy-once", "sent", false, 2),
            ("/once/502", "sent", true, 2),
            ("/drop-once", "sent", true, 2),
            ("/status/400", "failed", false, 1),
            ("/redirect", "failed", false, 1),
        ];
        for (id, (path, state, ambiguous, attempts)) in (1..).zip(answers) {
            let worker = worker_with(&stack, &calling(&stack, &sink, path, "")).await;
            let calls = call_for(&stack, &sink, id, state).await;
            assert_eq!(row(&stack, id).await, (ambiguous, attempts), "{path}");
            let own: Vec<&Call> = calls.iter().filter(|call| call.path == path).collect();
            assert_eq!(own.len(), usize::try_from(attempts).unwrap(), "{path}");
            assert!(own.iter().all(|call| call.key() == own[0].key() && call.body == own[0].body), "{path}");
            assert!(worker.terminate().await.success());
        }
        assert!(sink.calls().iter().all(|call| call.path != "/ok"), "a redirect was followed");
    })
    .await;
}

#[tokio::test]
async fn an_unanswered_call_is_held_where_the_effect_says_so() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let sink = HttpSink::start().await;
        let worker = worker_with(&stack, &calling(&stack, &sink, "/drop-once", "on_ambiguous = \"hold\"")).await;
        assert_eq!(call_for(&stack, &sink, 1, "held").await.len(), 1);
        assert!(row(&stack, 1).await.0);
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_into_a_private_network_is_never_connected_to() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let sink = HttpSink::start().await;
        let config = calling(&stack, &sink, "/ok", "");
        let text = std::fs::read_to_string(&config).unwrap();
        let port = sink.url("").rsplit(':').next().unwrap().to_owned();
        let named = replace(&text, &sink.url("/ok"), &format!("http://localhost:{port}/ok"));
        std::fs::write(&config, replace(&named, "allow_private = true\n", "")).unwrap();
        let worker = worker_with(&stack, &config).await;
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("w1")).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE last_error LIKE '%private networks%'", 1).await;
        assert_eq!(sink.calls(), []);
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_none_ends_the_start_and_is_not_shown() {
    run(async |stack| {
        let sink = HttpSink::start().await;
        let config = calling(&stack, &sink, "/ok", "");
        std::fs::write(stack.directory.join("secret"), "whsec_hush").unwrap();
        let mut worker = Service::spawn_worker(&stack, &options(&config));
        assert!(!worker.wait().await.success());
        let log = worker.log();
        assert!(log.contains("effects.http.tell-warehouse.secret"), "{log}");
        assert!(!log.contains("hush"), "{log}");
    })
    .await;
}
