//! A redrive against everything that may happen beside it: the provider, another person, a kill, an outage. The
//! moments are held open (a lock, a gate), not raced for, wherever one can be.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shared::db::parked_webhooks::ParkReason;
use testing::gate::Gate;
use testing::mail::received;
use testing::services::setting;
use testing::state::{assert_no_drift, number, processed, quantity, stock};
use testing::wait::until;
use testing::{Stack, run};
use tokio::process::Child;
use url::Url;

use crate::scene::{Worker, command, json, let_a_minute_pass, oncehook, orders, park, queued, text};

const REDRIVE: [&str; 3] = ["parked", "redrive", "--all"];
/// Lets rows be read, and none be changed.
const HOLD_ROWS: &str = "LOCK TABLE parked_webhooks IN EXCLUSIVE MODE";

/// A redrive that reaches the broker by way of a gate, held just before it takes its first row: by then it is
/// connected.
async fn held_before_the_first_row(stack: &Stack) -> (Child, Gate) {
    let mut url = Url::parse(&setting("AMQP_URL")).unwrap();
    let gate = Gate::to(format!("127.0.0.1:{}", url.port().unwrap())).await;
    url.set_port(Some(gate.address.port())).unwrap();
    let mut blocker = stack.database.client().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(HOLD_ROWS).await.unwrap();
    let mut command = command(stack, &[&REDRIVE, ["--output", "json"].as_slice()].concat());
    command.env("AMQP_URL", url.as_str()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let redrive = command.spawn().unwrap();
    waits_for_a_lock(stack).await;
    gate.hold_clients();
    lock.rollback().await.unwrap();
    (redrive, gate)
}

async fn waits_for_a_lock(stack: &Stack) {
    until("the redrive waits for the table", || async {
        (stack.database.sessions_waiting_for_a_lock().await > 0).then_some(())
    })
    .await;
}

/// Each of so many orders has taken effect once.
async fn each_took_effect_once(stack: &Stack, count: usize) {
    let rows = i64::try_from(count).unwrap();
    processed(stack, rows).await;
    number(stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'resolved'", rows).await;
    number(stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND NOT ambiguous", rows).await;
    assert_eq!(quantity(stack, "MUG").await, 1000 - rows);
    assert_no_drift(stack).await;
    let mails = received(&stack.mail_domain).await;
    let recipients: BTreeSet<&str> = mails.iter().map(|mail| mail.to[0].address.as_str()).collect();
    assert_eq!((mails.len(), recipients.len()), (count, count));
}

#[tokio::test]
async fn two_people_who_redrive_the_same_send_each_webhook_once() {
    run(async |stack| {
        park(&stack, &orders(&stack, 400), ParkReason::UnknownSku).await;
        let redrive = async || json(&stack, &[&REDRIVE, ["--rate", "0"].as_slice()].concat()).await;
        let (one, other) = tokio::join!(redrive(), redrive());
        let done = |report: &serde_json::Value| report["webhooks"][0]["webhooks"].as_u64().unwrap_or(0);
        assert_eq!(done(&one) + done(&other), 400, "{one} {other}");
        queued(&stack, 400).await;
    })
    .await;
}

#[tokio::test]
async fn a_redrive_beside_the_providers_own_redelivery_runs_each_webhook_once() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let webhooks = orders(&stack, 150);
        park(&stack, &webhooks, ParkReason::UnknownSku).await;
        let worker = Worker::start(&stack).await;
        let redeliver = async {
            for webhook in webhooks.iter().rev() {
                stack.publish(webhook).await;
            }
        };
        let (redriven, ()) = tokio::join!(oncehook(&stack, &REDRIVE), redeliver);
        assert!(redriven.status.success(), "{redriven:?}");
        each_took_effect_once(&stack, 150).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_kill_between_publish_and_settle_loses_nothing_and_runs_nothing_twice() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 2), ParkReason::UnknownSku).await;
        let (mut redrive, gate) = held_before_the_first_row(&stack).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'redriving'", 2).await;
        let mut blocker = stack.database.client().await;
        let lock = blocker.transaction().await.unwrap();
        lock.batch_execute(HOLD_ROWS).await.unwrap();
        gate.release_clients();
        waits_for_a_lock(&stack).await; // it has its confirms and cannot note them
        redrive.kill().await.unwrap();
        // Postgres does not notice at once, and would carry out the statement that waits.
        let waiting = "datname = current_database() AND wait_event_type = 'Lock'";
        stack
            .database
            .execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {waiting}"))
            .await;
        lock.rollback().await.unwrap();
        queued(&stack, 2).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'redriving' AND redriven_at IS NULL", 2)
            .await;
        // Nobody knows what became of them: for a minute they are left alone, then they count as parked.
        assert_eq!(json(&stack, &REDRIVE).await["webhooks"], serde_json::json!([]));
        let_a_minute_pass(&stack).await;
        assert_eq!(json(&stack, &REDRIVE).await["webhooks"][0]["webhooks"], 2);
        queued(&stack, 4).await;
        let worker = Worker::start(&stack).await;
        each_took_effect_once(&stack, 2).await;
        number(&stack, "SELECT sum(duplicates)::int8 FROM processed_webhooks", 2).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn while_the_broker_is_away_a_redrive_says_so_and_changes_nothing() {
    run(async |stack| {
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        let away = command(&stack, &REDRIVE).env("AMQP_URL", "amqp://127.0.0.1:1/%2f").output().await.unwrap();
        assert!(away.status.code() == Some(1) && text(&away.stderr).contains("the broker is away"), "{away:?}");
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked' AND generation = 1", 3).await;
    })
    .await;
}

#[tokio::test]
async fn when_the_broker_goes_away_what_was_taken_is_given_back() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        let (redrive, gate) = held_before_the_first_row(&stack).await;
        let output = redrive.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["webhooks"], serde_json::json!([]));
        assert!(report["stopped"].as_str().unwrap().contains("3 webhooks are parked as before"), "{report}");
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked'", 3).await;
        drop(gate);
        assert!(oncehook(&stack, &REDRIVE).await.status.success());
        let worker = Worker::start(&stack).await;
        each_took_effect_once(&stack, 3).await;
        worker.stop().await;
    })
    .await;
}

/// A row that a worker is about to resolve is nobody's to take, and nobody waits for it.
#[tokio::test]
async fn what_a_transaction_holds_is_left_to_it() {
    run(async |stack| {
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        let mut worker = stack.database.client().await;
        let claim = worker.transaction().await.unwrap();
        claim.execute("UPDATE parked_webhooks SET state = 'resolved' WHERE webhook_id = 'w2'", &[]).await.unwrap();
        let report = json(&stack, &REDRIVE).await;
        assert_eq!((&report["webhooks"][0]["webhooks"], &report["overtaken"]), (&2.into(), &1.into()), "{report}");
        claim.commit().await.unwrap();
        queued(&stack, 2).await;
    })
    .await;
}

/// The database goes away between the confirms and the note of them.
#[tokio::test]
async fn when_the_database_goes_away_the_webhook_is_on_the_queue_and_still_open() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 3), ParkReason::UnknownSku).await;
        let (redrive, gate) = held_before_the_first_row(&stack).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'redriving'", 3).await;
        stack.database.take_away().await;
        gate.release_clients();
        let output = redrive.wait_with_output().await.unwrap();
        assert!(output.status.code() == Some(1) && text(&output.stdout).contains("after a minute"), "{output:?}");
        stack.database.bring_back().await;
        queued(&stack, 3).await;
        let worker = Worker::start(&stack).await;
        each_took_effect_once(&stack, 3).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_redrive_that_is_interrupted_settles_what_it_has_in_hand() {
    run(async |stack| {
        park(&stack, &orders(&stack, 100), ParkReason::UnknownSku).await;
        let mut command = command(&stack, &[&REDRIVE, ["--rate", "10", "--output", "json"].as_slice()].concat());
        let redrive = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        until("it is in the middle of it", || async {
            (stack.database.number("SELECT count(*) FROM parked_webhooks WHERE generation > 1").await > 0).then_some(())
        })
        .await;
        kill(Pid::from_raw(i32::try_from(redrive.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
        let output = redrive.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["stopped"], "interrupted");
        let done = report["webhooks"][0]["webhooks"].as_i64().unwrap();
        assert!((10..100).contains(&done), "{report}");
        let confirmed = "SELECT count(*) FROM parked_webhooks WHERE redriven_at IS NOT NULL";
        assert_eq!(stack.database.number(confirmed).await, done);
        number(&stack, "SELECT count(*) FROM parked_webhooks WHERE state = 'parked'", 100 - done).await;
    })
    .await;
}

/// Each place at which a redrive can end, in the first group and in the second.
#[tokio::test]
async fn wherever_a_redrive_is_killed_the_next_one_goes_on() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 150), ParkReason::UnknownSku).await;
        let places = [
            "console.taken=kill@1",
            "console.published=kill@1",
            "console.published=kill@40",
            "console.settled=kill@1",
            "console.taken=kill@2",
        ];
        for place in places {
            // Whatever was done before counts as parked again: each place is met by a redrive of all.
            stack.database.execute("UPDATE parked_webhooks SET state = 'parked', redriven_at = NULL").await;
            let killed = command(&stack, &REDRIVE).env("FAILPOINTS", place).output().await.unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{place}: {killed:?}");
        }
        let_a_minute_pass(&stack).await;
        assert!(oncehook(&stack, &REDRIVE).await.status.success());
        let worker = Worker::start(&stack).await;
        each_took_effect_once(&stack, 150).await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_thousand_redriven_by_commands_that_are_killed_take_effect_once_each() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        park(&stack, &orders(&stack, 1_000), ParkReason::UnknownSku).await;
        let worker = Worker::start(&stack).await;
        let begun = "SELECT count(*) FROM parked_webhooks WHERE generation > 1";
        for so_far in [50, 300, 600, 800] {
            let mut redrive = command(&stack, &[&REDRIVE, ["--rate", "900"].as_slice()].concat()).spawn().unwrap();
            until("it is in the middle of it", || async {
                (stack.database.number(begun).await >= so_far).then_some(())
            })
            .await;
            redrive.kill().await.unwrap();
            assert!(stack.database.number(begun).await < 1_000, "it was through before it was killed");
            let_a_minute_pass(&stack).await;
        }
        let last = oncehook(&stack, &REDRIVE).await;
        assert!(last.status.success(), "{last:?}");
        each_took_effect_once(&stack, 1_000).await;
        worker.stop().await;
    })
    .await;
}
