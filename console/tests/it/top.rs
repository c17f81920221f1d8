//! `oncehook top`, where there is no terminal: one look.

use testing::run;

use crate::scene::{command, json, oncehook, orders, service_that_says, text};

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
        assert!(page.contains("! the broker does not answer") && page.contains("processed: 0.0/s"), "{page}");
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
        assert!(attention.contains("worker at 127.0.0.1:1 does not answer"), "{attention}");
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
