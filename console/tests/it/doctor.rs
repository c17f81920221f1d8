//! `oncehook doctor`: a sound installation is called sound, and what is broken is named, with how to mend it.

use serde_json::Value;
use testing::black_hole::BlackHole;
use testing::http_sink::HttpSink;
use testing::services::{Upset, setting};
use testing::wait::until;
use testing::{Stack, run};
use tokio::process::Command;

use crate::scene::{Worker, command, service_that_says_at, text};

const SECRETS: [&str; 4] =
    ["SHOPIFY_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "STANDARD_WEBHOOKS_SECRET", "GENERIC_WEBHOOK_SECRET"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The doctor in an environment that lacks nothing.
fn doctor(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = command(stack, &[&["doctor"], arguments].concat());
    for name in SECRETS {
        command.env(name, SECRET);
    }
    command.env("SMTP_URL", setting("SMTP_URL")).env("MAIL_FROM", "shop@shop.example");
    command.env("OPERATOR_EMAIL", "operator@shop.example").env("SPOOL_DIR", &stack.directory);
    command
}

/// Runs it; its findings, and its exit code.
async fn findings(mut doctor: Command) -> (Vec<Value>, i32) {
    let output = doctor.args(["--output", "json"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report["findings"].as_array().unwrap().clone(), output.status.code().unwrap())
}

/// The findings of one area that have a status.
fn of<'f>(findings: &'f [Value], area: &str, status: &str) -> Vec<&'f Value> {
    findings.iter().filter(|finding| finding["area"] == area && finding["status"] == status).collect()
}

/// Whether a failure or a warning of an area says something, and how to mend it.
#[track_caller]
fn assert_told(findings: &[Value], area: &str, status: &str, words: &str) {
    let told = of(findings, area, status).into_iter().any(|finding| {
        let says = format!("{}: {}", finding["subject"], finding["found"]);
        says.contains(words) && finding["mend"].as_str().is_some_and(|mend| !mend.is_empty())
    });
    assert!(told, "no {status} of {area} says {words:?}: {findings:#?}");
}

#[tokio::test]
async fn a_sound_installation_is_called_sound() {
    run(async |stack| {
        let worker = Worker::with(&stack, &stack.configure(str::to_owned)).await;
        let sound = until("the worker takes from its queue", || async {
            let (found, code) = findings(doctor(&stack, &["--strict", "--worker-ops-url", &worker.ops_url])).await;
            let is_ok = |told: &dyn Fn(&Value) -> bool| found.iter().any(|one| one["status"] == "ok" && told(one));
            let ready = is_ok(&|one| one["subject"] == "workers") && is_ok(&|one| one["found"] == "is ready");
            ready.then_some((found, code))
        })
        .await;
        let (found, code) = sound;
        let unwell: Vec<&Value> =
            found.iter().filter(|finding| finding["status"] != "ok" && finding["status"] != "skipped").collect();
        // The disk under a test may be small.
        assert!(unwell.iter().all(|finding| finding["area"] == "spool"), "{unwell:#?}");
        assert!(code == 0 || !unwell.is_empty(), "{code}");
        let version = of(&found, "broker", "ok").into_iter().find(|finding| {
            finding["found"]
                .as_str()
                .is_some_and(|found| found.starts_with("RabbitMQ 3.") || found.starts_with("RabbitMQ 4."))
        });
        assert!(version.is_some(), "{found:#?}");
        let services = of(&found, "services", "ok");
        assert!(services.iter().any(|one| one["subject"].as_str().unwrap().ends_with(", clock")), "{found:#?}");
        assert_eq!(of(&found, "services", "skipped").len(), 1, "no ingest is named");
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_broken_is_named_with_how_to_mend_it() {
    run(async |stack| {
        // The queues exist with other arguments than the configuration has by now.
        stack.publish(&crate::scene::orders(&stack, 1).remove(0)).await;
        stack.database.execute("DELETE FROM oncehook_migrations WHERE version = 2").await;
        stack.database.execute("INSERT INTO oncehook_migrations VALUES (9000, 'of_tomorrow', 'now', '1')").await;
        stack.database.execute("DROP INDEX outbox_ambiguous").await;
        let third_day = "to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')";
        let drop = format!("DO $$ BEGIN EXECUTE 'DROP TABLE webhook_payloads_' || {third_day}; END $$");
        stack.database.execute(&drop).await;
        let sink = HttpSink::start().await;
        let https = sink.url("/ok").replace("http://", "https://");
        let mut doctor = doctor(&stack, &[]);
        doctor.env_remove("GITHUB_WEBHOOK_SECRET").env("STANDARD_WEBHOOKS_SECRET", "no base64").env_remove("SMTP_URL");
        doctor.env("SPOOL_DIR", stack.directory.join("nowhere"));
        stack.configure(|text| {
            let text = testing::replace(text, "max_bytes = 4294967296", "max_bytes = 4294967295");
            text + &format!(
                "[effects.http.in-the-clear]\nurl = \"{https}\"\nmap = '{{ key: .id, body: . }}'\nallow_private = true\n\
                 [effects.http.private]\nurl = \"http://localhost:1/\"\nmap = '{{ key: .id, body: . }}'\n"
            )
        });
        let (found, code) = findings(doctor).await;
        assert_eq!(code, 3);
        assert_told(&found, "secrets", "failure", "GITHUB_WEBHOOK_SECRET is not set");
        assert_told(&found, "secrets", "failure", "sources.standard-webhooks");
        assert_told(&found, "broker", "warning", "max-length-bytes");
        assert_told(&found, "broker", "warning", "none takes from the work queue");
        assert_told(&found, "database", "failure", "not applied: V2__steering");
        assert_told(&found, "database", "warning", "V9000__of_tomorrow");
        assert_told(&found, "database", "warning", "1 days have none");
        assert_told(&found, "database", "warning", "outbox_ambiguous not built yet");
        assert_told(&found, "mail", "failure", "SMTP_URL");
        assert_told(&found, "calls", "failure", "TLS with");
        assert_told(&found, "calls", "failure", "leads into a private network only");
        assert_eq!(of(&found, "spool", "skipped").len(), 1, "{found:#?}");
        assert!(sink.calls().is_empty(), "nobody is called");
    })
    .await;
}

#[tokio::test]
async fn services_that_are_away_or_live_in_another_time_are_told() {
    run(async |stack| {
        let ingest = service_that_says_at("", "Thu, 01 Jan 2026 00:00:00 GMT").await;
        let mut doctor = doctor(&stack, &[]);
        doctor.env("INGEST_OPS_URL", &ingest).env("WORKER_OPS_URL", "http://127.0.0.1:1");
        let (found, code) = findings(doctor).await;
        assert_eq!(code, 3);
        assert_told(&found, "services", "failure", "worker at 127.0.0.1:1");
        assert_told(&found, "services", "failure", "its clock and this machine's are");
        assert!(of(&found, "services", "ok").iter().any(|one| one["found"] == "is ready"), "{found:#?}");
    })
    .await;
}

#[tokio::test]
async fn services_that_say_nothing_are_named_side_by_side_and_no_secret_is_told() {
    run(async |stack| {
        let hole = BlackHole::open().await;
        let at = |scheme: &str| format!("{scheme}://me:hunter2@{}/there", hole.address);
        let mut doctor = doctor(&stack, &[]);
        doctor.env("AMQP_URL", format!("{},{}", at("amqp"), at("amqps"))).env("DATABASE_URL", at("postgres"));
        doctor.env("SMTP_URL", at("smtp")).env("GENERIC_WEBHOOK_SECRET", "hunter2");
        let table = doctor.output().await.unwrap();
        assert_eq!(table.status.code(), Some(3), "{table:?}");
        let told = text(&table.stdout) + &text(&table.stderr);
        assert!(!told.contains("hunter2") && !told.contains('\u{1b}'), "{told}");
        for failure in
            ["the broker did not greet within 5 s", "cannot connect to Postgres", "there is no session after 10 s"]
        {
            assert!(told.contains(failure), "{failure}: {told}");
        }
        assert!(told.contains("to mend it: "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_configuration_with_mistakes_ends_what_needs_it_and_nothing_else() {
    run(async |stack| {
        let doctor = doctor(&stack, &[]);
        std::fs::write(stack.directory.join("oncehook.toml"), "[queue]\nprefix = 7\n").unwrap();
        let (found, code) = findings(doctor).await;
        assert_eq!(code, 3);
        assert_told(&found, "configuration", "failure", "queue.prefix");
        assert_eq!(of(&found, "calls", "skipped").len(), 1);
        assert!(!of(&found, "database", "ok").is_empty() && !of(&found, "mail", "ok").is_empty(), "{found:#?}");
    })
    .await;
}

#[tokio::test]
async fn exclusive_an_alarm_of_the_broker_is_told() {
    run(async |stack| {
        stack.publish(&crate::scene::orders(&stack, 1).remove(0)).await;
        let alarm = Upset::alarm("memory").await;
        let (found, code) = findings(doctor(&stack, &[])).await;
        alarm.end().await;
        assert_eq!(code, 3);
        assert_told(&found, "broker", "failure", "an alarm about memory or disk");
    })
    .await;
}
