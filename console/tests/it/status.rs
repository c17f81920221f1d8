//! `oncehook status`.

use testing::orders::Order;
use testing::run;
use testing::services::setting;
use testing::wait::until;
use tokio::process::Command;

use crate::scene::{Worker, json, oncehook, service_that_says, text};

#[tokio::test]
async fn status_tells_depths_and_what_needs_a_person() {
    run(async |stack| {
        for id in 1..=3 {
            stack.publish(&Order::of(id, "", &["MUG"]).webhook(&format!("w{id}"))).await;
        }
        let status = json(&stack, &["status"]).await;
        assert!(status["queues"][0]["queue"].as_str().unwrap().ends_with("webhooks"));
        assert_eq!((&status["queues"][0]["ready"], &status["workers"]), (&3.into(), &0.into()));
        assert_eq!(status["attention"], serde_json::json!(["no worker takes from the queue"]));
        let table = oncehook(&stack, &["status"]).await;
        assert_eq!(table.status.code(), Some(3));
        assert!(text(&table.stdout).contains("! no worker takes from the queue"), "{table:?}");
    })
    .await;
}

#[tokio::test]
async fn status_asks_each_ingest_for_its_spool() {
    run(async |stack| {
        let metrics = "webhook_spool_files 2\nwebhook_spool_bytes 4096\nwebhook_spool_oldest_age_seconds 61\n\
                       webhook_spool_corrupt_files 1\nwebhook_spool_deferred_files 2\nwebhook_spool_adopted_deferred_files 1\n";
        let url = service_that_says(metrics).await;
        let urls = format!("{url},http://127.0.0.1:1");
        let output = Command::new(env!("CARGO_BIN_EXE_oncehook"))
            .args(["status", "--output", "json"])
            .env_clear()
            .env("ONCEHOOK_CONFIG", stack.configure(str::to_owned))
            .env("DATABASE_URL", &stack.database.url)
            .env("AMQP_URL", setting("AMQP_URL"))
            .env("INGEST_OPS_URL", urls)
            .output()
            .await
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(status["spool"][0]["bytes"], 4096);
        assert_eq!(status["spool"][1]["bytes"], serde_json::Value::Null);
        let attention = status["attention"].to_string();
        assert!(attention.contains("has damaged files in its spool"), "{attention}");
        assert!(attention.contains("ingest at 127.0.0.1:1: "), "{attention}");
        assert_eq!(status["spool"][0]["deferred_files"], 3);
        assert!(attention.contains("cannot read, publish or remove 3 files of its spool"), "{attention}");
    })
    .await;
}

/// As the overview does: no webhook has failed yet, and the next one's mail will.
#[tokio::test]
async fn a_mail_server_that_nobody_reaches_and_a_subscription_at_risk_need_a_person() {
    run(async |stack| {
        let ingest = service_that_says(
            "webhook_failed_answers_in_a_row{source=\"shopify\"} 8\n\
             webhook_failed_answers_tolerated{source=\"shopify\"} 8\n",
        )
        .await;
        let worker = service_that_says("webhook_destination_up{effect=\"order-confirmation\"} 0\n").await;
        let addresses = ["--ingest-ops-url", &ingest, "--worker-ops-url", &worker];
        let running = Worker::with(&stack, &stack.configure(str::to_owned)).await;
        until("all is fine but for what these say", || async {
            let status = json(&stack, &["status"]).await;
            status["attention"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
        for look in [&["status"][..], &["top", "--once"]] {
            let arguments = [look, &addresses].concat();
            let attention = json(&stack, &arguments).await["attention"].to_string();
            assert!(attention.contains("order-confirmation: no worker reaches where it goes"), "{look:?}: {attention}");
            assert!(attention.contains("the subscription of shopify is at risk"), "{look:?}: {attention}");
            assert_eq!(oncehook(&stack, &arguments).await.status.code(), Some(3), "{look:?}");
        }
        let unasked = text(&oncehook(&stack, &["status"]).await.stdout);
        assert!(unasked.contains("not asked for; WORKER_OPS_URL says where the workers are"), "{unasked}");
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn of_several_broker_addresses_one_that_answers_is_enough() {
    run(async |stack| {
        let status = async |addresses: String| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_oncehook"));
            command
                .args(["status", "--output", "json"])
                .env_clear()
                .env("ONCEHOOK_CONFIG", stack.configure(str::to_owned));
            command.env("DATABASE_URL", &stack.database.url).env("AMQP_URL", addresses).output().await.unwrap()
        };
        let dead = "amqp://user:hush@127.0.0.1:1/%2f";
        let answered = status(format!("{dead},{}", setting("AMQP_URL"))).await;
        assert!(text(&answered.stdout).contains("webhooks"), "{answered:?}");
        let told = text(&status(format!("{dead},{dead}")).await.stderr);
        assert_eq!(told.matches("cannot connect to 127.0.0.1:1").count(), 2, "{told}");
        assert!(!told.contains("hush"), "{told}");
    })
    .await;
}
