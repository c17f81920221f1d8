//! Several addresses of one broker: the next one is taken when one is dead, silent or lost. Two relays to the one
//! broker stand for two nodes of a cluster.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Webhook, by_way_of, free_address, program, run_at, setting};
use futures_util::StreamExt as _;
use testing::black_hole::BlackHole;
use testing::gate::Gate;

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

/// A relay to the broker, and the broker's address by way of it.
async fn node() -> (Gate, String) {
    let gate = Gate::to(by_way_of(free_address()).1).await;
    let url = by_way_of(gate.address).0;
    (gate, url)
}

#[tokio::test]
async fn a_dead_first_address_is_passed_over_at_once() {
    let (_gate, url) = node().await;
    let began = Instant::now();
    run_at(&format!("{},{url}", by_way_of(free_address()).0), "", async |ingest| {
        ingest.ready().await;
        // One pause would be up to 0.4 s; there is none within a round.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(ingest.send(&webhook("1").request()).await.status, 200);
        assert_eq!(ingest.broker.take().await.id, "1");
    })
    .await;
}

/// It costs its deadline and no more, and nothing of the attempt stays.
#[tokio::test]
async fn a_silent_first_address_is_given_up() {
    let mut silent = BlackHole::open().await;
    run_at(&format!("{},{}", by_way_of(silent.address).0, setting("AMQP_URL")), "", async |ingest| {
        assert_eq!(ingest.send(&webhook("spooled").request()).await.status, 200);
        silent.was_given_up(1).await;
        ingest.ready().await;
        assert_eq!(ingest.broker.take().await.id, "spooled");
    })
    .await;
}

/// Every try in vain ends its connection: nothing gathers while the only broker is frozen.
#[tokio::test]
async fn tries_in_vain_leave_nothing_behind() {
    let mut silent = BlackHole::open().await;
    run_at(&by_way_of(silent.address).0, "", async |ingest| {
        silent.was_given_up(2).await;
        // The test's own connection, and the try that may be under way.
        let threads = threads("lapin-io-loop");
        assert!(threads <= 2, "{threads} connections have a thread");
        assert!(ingest.ops("/readyz").await.body.contains("degraded"));
    })
    .await;
}

/// How many threads of this process have a name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter(|task| {
            std::fs::read_to_string(task.as_ref().unwrap().path().join("comm")).is_ok_and(|it| it.trim() == name)
        })
        .count()
}

#[tokio::test]
async fn when_the_address_in_use_dies_under_load_no_2xx_is_lost() {
    let (first, first_url) = node().await;
    let (_second, second_url) = node().await;
    run_at(&format!("{first_url},{second_url}"), "", async |ingest| {
        ingest.ready().await;
        let mut first = Some(first);
        let ids: Vec<_> = (0..600).map(|number| format!("w-{number}")).collect();
        let answers = futures_util::stream::iter(&ids)
            .map(|id| async { (id.clone(), ingest.send(&webhook(id).request()).await.status) })
            .buffer_unordered(32);
        let mut answers = std::pin::pin!(answers);
        let mut accepted = BTreeSet::new();
        while let Some((id, status)) = answers.next().await {
            assert_eq!(status, 200, "{id}");
            accepted.insert(id);
            if accepted.len() == 100 {
                drop(first.take());
            }
        }
        ingest.ready().await;
        while !accepted.is_empty() {
            accepted.remove(&ingest.broker.take().await.id);
        }
        ingest.counted("webhook_spool_files 0").await;
    })
    .await;
}

#[tokio::test]
async fn mistaken_addresses_end_the_program_with_all_of_them_told() {
    let output = program()
        .env("ONCEHOOK_CONFIG", "/dev/null")
        .env("AMQP_URL", "amqp://user:hush@a/%2f,user:hush@b:5672,,amqp://user:hush@c/other")
        .env("INGEST_LISTEN", "127.0.0.1:0")
        .env("OPS_LISTEN", "127.0.0.1:0")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    for mistake in ["address 2 is not an AMQP address", "address 3 is empty", "address 4 has another virtual host"] {
        assert!(log.contains(mistake), "{log}");
    }
    assert!(!log.contains("hush"), "{log}");
}
