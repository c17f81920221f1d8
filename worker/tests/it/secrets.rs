//! The worker's passwords are told nowhere: not in logs, metrics, arguments or tables, whatever goes wrong.

use testing::http_sink::HttpSink;
use testing::marker::Marker;
use testing::orders::{Order, webhook};
use testing::process::Service;
use testing::rabbitmq::User;
use testing::services::setting;
use testing::wait::until;
use testing::{Stack, replace, run};
use url::Url;

use crate::scene::{number, options, parked, processed, quick, quicken, stock};

/// What calls are signed with.
const CALLS_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The default configuration with an effect that calls a service that refuses.
fn calling(stack: &Stack, sink: &HttpSink) -> std::path::PathBuf {
    stack.configure(|text| {
        let effects = |names: &str| format!("effects = [\"decrement-stock\", \"order-confirmation\"{names}]");
        let text = replace(&quicken(text), &effects(""), &effects(", \"tell-warehouse\""));
        let url = sink.url("/status/403");
        format!(
            "{text}\n[effects.http.tell-warehouse]\nurl = \"{url}\"\nmap = '{{key: .id, body: {{}}}}'\n\
             secret = {{ env = \"CALLS_SECRET\" }}\nallow_private = true\n"
        )
    })
}

/// Every text in the tables that failures are written to.
async fn written_down(stack: &Stack) -> String {
    let query = "SELECT string_agg(line, E'\\n') FROM (
        SELECT row_to_json(t)::text AS line FROM outbox AS t
        UNION ALL SELECT row_to_json(t)::text FROM webhook_failures AS t
        UNION ALL SELECT row_to_json(t)::text FROM outbox_attempts AS t
        UNION ALL SELECT row_to_json(t)::text FROM parked_webhooks AS t) AS lines";
    stack.database.client().await.query_one(query, &[]).await.unwrap().get(0)
}

/// Everything that the process shows to anybody.
async fn shown(worker: &Service) -> Vec<(&'static str, String)> {
    let health = reqwest::get(format!("{}/readyz", worker.ops_url)).await.unwrap().text().await.unwrap();
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", worker.pid())).unwrap();
    vec![
        ("the metrics", worker.metrics().await),
        ("the health", health),
        ("the command line", arguments),
        ("the log", worker.log()),
    ]
}

#[tokio::test]
async fn no_password_is_told_to_anybody() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let [amqp, postgres, smtp] = ["amqp", "postgres", "smtp"].map(Marker::new);
        let user = User::with_password(&amqp.secret).await;
        let database_url = stack.database.url_for_user_with(&postgres.secret).await;
        let mut smtp_url = Url::parse(&setting("SMTP_URL")).unwrap();
        smtp_url.set_username("sink").unwrap();
        smtp_url.set_password(Some(&smtp.secret)).unwrap(); // the sink lets in another one only
        let config = calling(&stack, &HttpSink::start().await);
        let worker = Service::spawn_worker_in(&stack, &options(&config), |worker| {
            worker.env("CALLS_SECRET", CALLS_SECRET).env("DATABASE_URL", database_url).env("AMQP_URL", user.amqp_url());
            worker.env("SMTP_URL", smtp_url.as_str()).env("RUST_LOG", "trace");
        });
        worker.wait_until_ready().await;
        stack.publish(&Order::of(1, &format!("a@{}", stack.mail_domain), &["MUG"]).webhook("w1")).await;
        stack.publish(&webhook("no-json", "orders/paid", b"{".to_vec())).await;
        processed(&stack, 1).await;
        parked(&stack, "plan", 1).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'failed'", 1).await;
        until("the mail server has refused", || async { worker.log().contains("535").then_some(()) }).await;
        stack.database.take_away().await;
        stack.publish(&Order::of(2, "", &["MUG"]).webhook("w2")).await;
        until("the database is missed", || async { worker.log().contains("the database is away").then_some(()) }).await;
        stack.database.bring_back().await;
        processed(&stack, 2).await;
        user.remove().await;
        until("the broker has refused", || async {
            worker.log().contains("no connection to the broker").then_some(())
        })
        .await;
        let mut places = shown(&worker).await;
        places.push(("a table", written_down(&stack).await));
        assert!(places.last().unwrap().1.contains("no-json"), "{places:?}");
        for marker in [amqp, postgres, smtp, Marker::of(CALLS_SECRET.trim_start_matches("whsec_"))] {
            for (place, text) in &places {
                marker.assert_absent(place, text);
            }
        }
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 0).await;
        drop(worker);
    })
    .await;
}

/// What cannot be read is not shown either: it may be a password with a `@` too few.
#[tokio::test]
async fn mistaken_addresses_end_the_worker_and_are_not_shown() {
    run(async |stack| {
        let marker = Marker::new("mistaken");
        let config = quick(&stack);
        let secret = &marker.secret;
        let mistakes = [
            ("DATABASE_URL", format!("postgres://u:{secret}@127.0.0.1:x/d")),
            ("DATABASE_URL", format!("u:{secret}@127.0.0.1/d")),
            ("DATABASE_URL", stack.database.url.replacen("oncehook:", &format!("oncehook:{secret}"), 1)),
            ("AMQP_URL", format!("amqp://u:{secret}@127.0.0.1:x/%2f")),
            ("AMQP_URL", format!("u:{secret}@127.0.0.1")),
            ("SMTP_URL", format!("smtp://u:{secret}@127.0.0.1:x")),
            ("SMTP_URL", format!("u:{secret}@127.0.0.1")),
        ];
        for (variable, url) in mistakes {
            let mut worker = Service::spawn_worker_in(&stack, &options(&config), |worker| {
                worker.env(variable, &url).env("RUST_LOG", "trace");
            });
            assert!(!worker.wait().await.success(), "{variable}={url}");
            assert!(!worker.log().is_empty());
            marker.assert_absent(variable, &worker.log());
        }
    })
    .await;
}
