//! `oncehook queues`, and what a shell wants to know.

use testing::run;

use crate::scene::{json, oncehook, orders, text};

#[tokio::test]
async fn each_queue_says_how_full_it_is_and_what_for() {
    run(async |stack| {
        let missing = oncehook(&stack, &["queues"]).await;
        assert_eq!(missing.status.code(), Some(3));
        assert!(text(&missing.stdout).contains("webhooks.dead is not there"), "{missing:?}");
        for order in orders(&stack, 3) {
            stack.publish(&order).await;
        }
        let queues = json(&stack, &["queues"]).await;
        assert_eq!((&queues["queues"][0]["ready"], &queues["queues"][0]["role"]), (&3.into(), &"work".into()));
        let delays: Vec<_> =
            queues["queues"].as_array().unwrap().iter().filter(|queue| queue["role"] == "retry").collect();
        assert_eq!((delays.len(), &delays[2]["delay_s"]), (5, &120.into()));
        assert!(queues["attention"][0].as_str().unwrap().contains("no worker takes from"), "{queues}");
    })
    .await;
}

#[tokio::test]
async fn a_shell_is_told_the_commands_and_a_script_the_exit_codes() {
    run(async |stack| {
        for shell in ["bash", "zsh", "fish"] {
            let script = text(&oncehook(&stack, &["completions", shell]).await.stdout);
            assert!(script.contains("doctor") && script.contains("redrive"), "{shell}: {script}");
        }
        let codes = json(&stack, &["exit-codes"]).await;
        let codes: Vec<_> = codes.as_array().unwrap().iter().map(|meaning| meaning["code"].as_u64().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3]);
    })
    .await;
}
