//! `oncehook top`: where there is no terminal, one look; on one, until it is interrupted.

use std::process::Stdio;

use testing::run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{command, json, oncehook, orders, service_that_says, terminal, text};

const ALTERNATE_SCREEN: &str = "\u{1b}[?1049h";
const SCREEN_BEFORE: &str = "\u{1b}[?1049l";
const RED: &str = "\u{1b}[31m";
const CONTROL_C: &[u8] = b"\x03";

#[tokio::test]
async fn on_a_terminal_it_draws_in_colours_and_gives_the_terminal_back_when_it_is_interrupted() {
    run(async |stack| {
        stack.publish(&orders(&stack, 1)[0]).await;
        let mut top = terminal(&stack, &["top"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut keys, mut screen) = (top.stdin.take().unwrap(), top.stdout.take().unwrap());
        let mut told = Vec::new();
        // Two looks, so that it goes on by itself.
        while String::from_utf8_lossy(&told).matches("QUEUE").count() < 2 {
            assert_ne!(screen.read_buf(&mut told).await.unwrap(), 0, "it ended: {}", String::from_utf8_lossy(&told));
        }
        keys.write_all(CONTROL_C).await.unwrap();
        screen.read_to_end(&mut told).await.unwrap();
        let told = text(&told);
        assert!(told.starts_with(ALTERNATE_SCREEN) && told.trim_end().ends_with(SCREEN_BEFORE), "{told:?}");
        assert!(told.contains(RED) && told.contains("no worker takes from"), "{told:?}");
        assert!(top.wait().await.unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn one_look_tells_what_is_wrong_first_even_of_what_does_not_answer() {
    run(async |stack| {
        for order in orders(&stack, 2) {
            stack.publish(&order).await;
        }
        let looked = json(&stack, &["top"]).await;
        assert_eq!(
            (&looked["queues"][0]["ready"], &looked["database"]["processed_per_second"]),
            (&2.into(), &0.0.into())
        );
        let table = oncehook(&stack, &["top"]).await;
        let page = text(&table.stdout);
        assert_eq!(table.status.code(), Some(3));
        let (wrong, queues) = (page.find("! no worker takes from").unwrap(), page.find("QUEUE").unwrap());
        assert!(wrong < queues && !page.contains('\u{1b}'), "{page}");

        let away =
            command(&stack, &["top", "--once"]).env("AMQP_URL", "amqp://me:hush@127.0.0.1:1").output().await.unwrap();
        let page = text(&away.stdout);
        assert!(page.contains("! RabbitMQ: ") && page.contains("processed: 0.0/s"), "{page}");
        assert!(!page.contains("hush"), "{page}");
    })
    .await;
}

#[tokio::test]
async fn what_flows_is_told_where_ops_ports_are_known() {
    run(async |stack| {
        assert!(json(&stack, &["top"]).await["traffic"].is_null());
        let worker = service_that_says("worker_in_flight 7\nworker_effects_sending 2\n").await;
        let urls = format!("{worker},http://127.0.0.1:1");
        let looked = json(&stack, &["top", "--worker-ops-url", &urls]).await;
        let traffic = &looked["traffic"];
        assert_eq!(
            (&traffic["workers"][0]["in_flight"], &traffic["per_minute"]["received"]),
            (&7.0.into(), &0.0.into())
        );
        let attention = looked["attention"].to_string();
        assert!(attention.contains("worker at 127.0.0.1:1: it is not there"), "{attention}");
        let page = text(&oncehook(&stack, &["top", "--worker-ops-url", &urls]).await.stdout);
        for column in ["RECEIVED", "DUPLICATES", "RETRIED", "PARKED", "A BATCH"] {
            assert!(page.contains(column), "{column}: {page}");
        }
    })
    .await;
}

/// Whoever sources `.dev/env` has told the command where to look.
#[tokio::test]
async fn what_the_developers_environment_names_is_what_the_command_reads() {
    let up = std::fs::read_to_string(testing::services::root().join("dev/up")).unwrap();
    let environment = up.split("<<ENV").nth(1).unwrap().split("\nENV").next().unwrap();
    let names =
        environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).filter(|name| name.contains("OPS_URL"));
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), 2, "{names:?}");
    run(async |stack| {
        let help = text(&oncehook(&stack, &["top", "--help"]).await.stdout);
        assert!(names.iter().all(|name| help.contains(&format!("[env: {name}="))), "{names:?}: {help}");
    })
    .await;
}
