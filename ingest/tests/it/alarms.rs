//! The broker is short of memory or disk: it blocks publishers, and says so. These tests run alone (see
//! .config/nextest.toml): an alarm is everybody's.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Webhook, by_way_of, free_address, run, run_at, spool_dir};
use shared::spool::{Folder, Replica, batches};
use testing::gate::Gate;
use testing::services::Upset;

/// Longer than a publisher needs to give up confirms several times, and than two heartbeats of three seconds.
const ALARMED: Duration = Duration::from_secs(8);
/// Connections in that time: one, or one more on a machine that is too slow for the confirms of a moment. A publisher
/// that gives its connection up makes four.
const CONNECTIONS: usize = 2;

/// Sends webhooks, one after the other, each to be answered 200 within the budget; returns their ids.
async fn send_for(ingest: &crate::harness::Ingest, duration: Duration) -> BTreeSet<String> {
    let began = Instant::now();
    let mut ids = BTreeSet::new();
    while began.elapsed() < duration {
        let (id, sent) = (format!("w-{}", ids.len()), Instant::now());
        assert_eq!(ingest.send(&Webhook::new("generic", &id, "t", b"{}").request()).await.status, 200, "{id}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{id} took {:?}", sent.elapsed());
        ids.insert(id);
    }
    ids
}

async fn webhooks_are_spooled_while_it_is_short_of(what: &'static str) {
    let gate = Gate::to(by_way_of(free_address()).1).await;
    let url = by_way_of(gate.address).0;
    run_at(&url, "[queue]\nheartbeat_s = 3\n", async |ingest| {
        ingest.ready().await;
        let alarm = Upset::alarm(what).await;
        let mut missing = send_for(ingest, ALARMED).await;
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 200 && ready.body.contains("short of memory or disk"), "{ready:?}");
        alarm.end().await;
        ingest.ready().await;
        while !missing.is_empty() {
            missing.remove(&ingest.broker.take().await.id);
        }
        ingest.counted("webhook_spool_files 0").await;
        assert!(gate.clients() <= CONNECTIONS, "the publisher made {} connections", gate.clients());
    })
    .await;
}

#[tokio::test]
async fn exclusive_short_of_memory() {
    webhooks_are_spooled_while_it_is_short_of("memory").await;
}

#[tokio::test]
async fn exclusive_short_of_disk() {
    webhooks_are_spooled_while_it_is_short_of("disk").await;
}

/// Nobody knows how long an alarm lasts: stopping does not wait for its end.
#[tokio::test]
async fn exclusive_stopping_while_it_is_short_of_memory() {
    run("", async |ingest| {
        let alarm = Upset::alarm("memory").await;
        let ids = send_for(ingest, Duration::from_secs(2)).await;
        assert!(ingest.ops("/readyz").await.body.contains("short of memory or disk"));
        let began = Instant::now();
        ingest.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        alarm.end().await;
        let spooled = batches(&Replica::claim(&spool_dir(&ingest.broker.prefix)).unwrap().folder(Folder::New)).unwrap();
        assert!(!spooled.is_empty() && ids.len() >= spooled.len(), "{spooled:?} of {ids:?}");
    })
    .await;
}
