//! The service around the requests: health, metrics, stopping, and the program itself.

use std::path::PathBuf;

use crate::harness::{Broker, Program, Webhook, configuration, program, run, spool_dir, until};
use crate::spool::leave;
use rstest::rstest;
use shared::spool::{BatchName, Folder, Replica};
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

#[tokio::test]
async fn metrics_count_what_happened() {
    run("", async |ingest| {
        let webhook = Webhook::new("generic", "secret-id", "t", b"{}");
        ingest.send(&webhook.request()).await;
        ingest.send(&webhook.clone().without("x-signature-256").request()).await;
        for n in 0..3 {
            ingest
                .send(format!("POST /webhooks/made-up-{n} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await;
        }
        let metrics = ingest.ops("/metrics").await.body;
        for line in [
            r#"webhook_requests_total{source="generic",outcome="accepted"} 1"#,
            r#"webhook_requests_total{source="generic",outcome="signature_refused"} 1"#,
            r#"webhook_requests_total{source="unknown",outcome="unknown_source"} 3"#,
            r#"webhook_verification_failures_total{source="generic",reason="signature_missing"} 1"#,
            r#"webhook_request_duration_seconds_count{source="generic"} 2"#,
            r#"webhook_request_duration_seconds_bucket{le="0.075",source="generic"}"#,
            "webhook_requests_in_flight 0",
            "webhook_requests_in_flight_limit 1024",
            "webhook_connections_limit 4096",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        assert!(!metrics.contains("made-up") && !metrics.contains("secret-id"), "{metrics}");
    })
    .await;
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight() {
    run("", async |ingest| {
        let webhook = Webhook::new("generic", "1", "t", b"{}");
        let mut connection = ingest.connect().await;
        connection.write(format!("{}content-length: 2\r\n\r\n{{", webhook.head()).as_bytes()).await;
        until("it is in flight", async || {
            ingest.ops("/metrics").await.body.contains("webhook_requests_in_flight_bytes 1\n").then_some(())
        })
        .await;
        ingest.stop.cancel();
        until("new connections are refused", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", ingest.port)).await.is_err().then_some(())
        })
        .await;
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 503 && ready.body.contains("stopping"), "{ready:?}");
        assert_eq!(connection.exchange(b"}").await.status, 200);
        ingest.stop().await;
        assert_eq!(ingest.broker.take().await.id, "1");
    })
    .await;
}

#[tokio::test]
async fn the_program_serves_tells_its_health_and_stops_on_sigterm() {
    let broker = Broker::connect().await;
    let mut program = Program::start(&broker, |_| {});
    program.up().await;
    let webhook = Webhook::new("github", "followed", "push", b"{}");
    assert_eq!(program.send(&webhook.request()).await.status, 200);
    let forged = webhook.clone().without("x-hub-signature-256").with("X-Hub-Signature-256", "sha256=5ec2e7");
    assert_eq!(program.send(&forged.request()).await.status, 401);
    assert_eq!(broker.take().await.id, "followed");
    assert_eq!(program.terminate().await.code(), Some(0));
    assert!(!program.healthy().await);

    let log = program.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary =
        |outcome: &str| lines.iter().find(|line| line["outcome"] == outcome).unwrap_or_else(|| panic!("{log}"));
    let accepted = summary("accepted");
    assert_eq!(accepted["webhook.source"], "github");
    assert_eq!(accepted["webhook.id"], "followed");
    assert_eq!(accepted["webhook.topic"], "push");
    assert_eq!(summary("signature_refused")["reason"], "signature_encoding");
    for hidden in ["hush", "5ec2e7"] {
        assert!(!log.contains(hidden), "{log}");
    }
    broker.clean_up().await;
}

#[tokio::test]
async fn whoever_reads_the_log_and_is_stuck_holds_up_no_webhook() {
    let broker = Broker::connect().await;
    let (stuck, log) = std::io::pipe().unwrap();
    let mut program = Program::start(&broker, |command| {
        command.env("LOG_BUFFER_LINES", "8").stderr(log);
    });
    program.up().await;
    let webhook = Webhook::new("generic", "1", "t", b"{}");
    until("lines are dropped", async || {
        for _ in 0..100 {
            assert_eq!(program.send(&webhook.request()).await.status, 200);
        }
        let metrics = program.ops("/metrics").await.body;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("oncehook_log_lines_dropped_total "));
        (dropped.unwrap() != "0").then_some(())
    })
    .await;
    assert_eq!(program.terminate().await.code(), Some(0));
    drop(stuck);
    broker.clean_up().await;
}

#[tokio::test]
async fn a_mistake_in_the_configuration_ends_the_program_with_a_reason() {
    let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.toml", uuid::Uuid::new_v4()));
    std::fs::write(&config, "[sources.a]\nprovider = \"generic\"\nsecrets = [{ env = \"NOT_THERE\" }]\n").unwrap();
    let output = program()
        .env("ONCEHOOK_CONFIG", config)
        .env("AMQP_URL", "amqp://user:hush@127.0.0.1:1/%2f")
        .env("INGEST_LISTEN", "127.0.0.1:0")
        .env("OPS_LISTEN", "127.0.0.1:0")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("sources.a: the environment variable NOT_THERE is not set"), "{log}");
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn without_a_broker_to_go_to_the_program_says_so() {
    let output = program().output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("AMQP_URL"));
}

#[tokio::test]
async fn help_names_every_variable_and_no_value() {
    let output = program().arg("--help").env("AMQP_URL", "amqp://user:hush@host/").output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in ["ONCEHOOK_CONFIG", "AMQP_URL", "SPOOL_DIR", "INGEST_LISTEN", "OPS_LISTEN", "healthcheck"] {
        assert!(help.contains(variable), "{help}");
    }
    assert!(!help.contains("hush"), "{help}");
}

/// Whatever part of it ends, it does not go on without: its orchestrator starts it anew.
#[rstest]
#[case::publisher("publisher.publish=panic@1", "a task of the service panicked")]
#[case::drainer("spool.published=panic@1", "a task of the service panicked")]
#[case::writer("spool.create=panic@1", "the spool's writer ended by itself")]
#[tokio::test]
async fn it_ends_when_a_part_of_it_has_ended(#[case] failpoint: &str, #[case] why: &str) {
    let broker = Broker::connect().await;
    let replica = Replica::claim(&spool_dir(&broker.prefix)).unwrap();
    leave(&replica, BatchName::default().next(OffsetDateTime::now_utc()), "spooled");
    drop(replica);
    let mut program = Program::start(&broker, |program| {
        program.env("FAILPOINTS", failpoint);
        if failpoint.starts_with("spool.create") {
            program.env("AMQP_URL", "amqp://127.0.0.1:1/%2f"); // for it to be spooled
        }
    });
    let request = Webhook::new("generic", "w", "t", b"{}").request();
    until("it says why it ends", async || {
        // Nobody waits for an answer: it may end before.
        if let Ok(mut connection) = TcpStream::connect(("127.0.0.1", program.port)).await {
            connection.write_all(&request).await.unwrap_or_default();
        }
        program.log().contains(why).then_some(())
    })
    .await;
    let ended = program.child.wait().await.unwrap();
    assert!(!ended.success(), "{ended}");
    broker.clean_up().await;
}

/// What was answered 2xx is not left behind in silence.
#[tokio::test]
async fn it_refuses_to_do_without_a_spool_in_which_files_wait() {
    let broker = Broker::connect().await;
    let replica = Replica::claim(&spool_dir(&broker.prefix)).unwrap();
    leave(&replica, BatchName::default().next(OffsetDateTime::now_utc()), "spooled");
    let without_spool = |program: &mut Command| {
        program.env("ONCEHOOK_CONFIG", configuration(&broker.prefix, "[spool]\nenabled = false\n"));
    };
    let mut refused = Program::start(&broker, without_spool);
    assert!(!refused.child.wait().await.unwrap().success());
    assert!(refused.log().contains("1 spooled files wait"), "{}", refused.log());
    std::fs::remove_dir_all(replica.folder(Folder::New)).unwrap();
    let accepted = Program::start(&broker, without_spool);
    accepted.up().await;
    broker.clean_up().await;
}
