//! While the broker takes nothing: 200 from the spool, and all of it on the queue afterwards.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{
    Broker, Program, Webhook, by_way_of, free_address, run, run_at, run_on, run_without_broker, spool_dir,
};
use shared::message::{Message, sha256};
use shared::name::Name;
use shared::spool::{BatchBuilder, BatchName, Folder, Replica, batches};
use testing::gate::Gate;
use testing::services::Upset;
use time::OffsetDateTime;
use tokio::process::Command;

/// Port 1 refuses.
fn without_broker(program: &mut Command) {
    program.env("AMQP_URL", "amqp://127.0.0.1:1/%2f");
}

fn webhook(id: &str) -> Webhook {
    Webhook::new("generic", id, "t", b"{}")
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("w-{number:03}")).collect()
}

#[tokio::test]
async fn while_the_broker_is_away_it_is_200_at_once_and_drained_in_order_later() {
    let address = free_address();
    let (url, target) = by_way_of(address);
    run_at(&url, "", async |ingest| {
        let ids = numbered(30);
        for id in &ids {
            let began = Instant::now();
            let answer = ingest.send(&webhook(id).request()).await;
            assert_eq!((answer.status, answer.body), (200, format!(r#"{{"status":"accepted","id":"{id}"}}"#)));
            assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
        }
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 200 && ready.body.contains("degraded"), "{ready:?}");
        ingest.counted("webhook_spool_written_total 30").await;

        let _gate = Gate::at(address, target).await;
        ingest.ready().await;
        for id in &ids {
            let message = ingest.broker.take().await;
            assert_eq!((&message.id, message.body.as_ref()), (id, b"{}".as_slice()));
        }
        ingest.counted("webhook_spool_files 0").await;
        ingest.counted("webhook_spool_bytes 0").await;
        ingest.counted("webhook_spool_drained_total 30").await;
        ingest.ready().await;
        assert_eq!(ingest.send(&webhook("direct").request()).await.status, 200);
        assert_eq!(ingest.broker.take().await.id, "direct");
    })
    .await;
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_then_costs_no_time() {
    let gate = Gate::to(by_way_of(free_address()).1).await;
    let (url, _) = by_way_of(gate.address);
    run_at(&url, "[ingest]\npublish_timeout_ms = 800\n", async |ingest| {
        ingest.ready().await;
        gate.hold_clients();
        let ids = numbered(20);
        let answers = ids.iter().map(|id| async { ingest.send(&webhook(id).request()).await.status });
        let began = Instant::now();
        assert!(futures_util::future::join_all(answers).await.iter().all(|status| *status == 200));
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let fastest = {
            let mut times = Vec::new();
            for _ in 0..3 {
                let began = Instant::now();
                assert_eq!(ingest.send(&webhook("again").request()).await.status, 200);
                times.push(began.elapsed());
            }
            times.into_iter().min().unwrap()
        };
        assert!(fastest < Duration::from_millis(700), "{fastest:?}");
        assert!(ingest.ops("/readyz").await.body.contains("degraded"));

        gate.release_clients();
        let mut missing: BTreeSet<_> = ids.into_iter().chain(["again".to_owned()]).collect();
        while !missing.is_empty() {
            missing.remove(&ingest.broker.take().await.id);
        }
        ingest.ready().await;
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_the_spool_takes_over() {
    run("[queue]\nmax_bytes = 1048576\n", async |ingest| {
        let ids = numbered(40);
        for id in &ids {
            assert_eq!(ingest.send(&Webhook::new("generic", id, "t", &[b'x'; 60_000]).request()).await.status, 200);
        }
        let metrics = ingest.ops("/metrics").await.body;
        assert!(!metrics.contains("webhook_spool_written_total 0\n"), "{metrics}");
        let mut missing: BTreeSet<_> = ids.into_iter().collect();
        while !missing.is_empty() {
            missing.remove(&ingest.broker.take().await.id);
        }
        ingest.counted("webhook_spool_files 0").await;
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_and_then_a_full_spool_are_503_until_there_is_room() {
    run("[queue]\nmax_bytes = 1048576\n[spool]\nmax_bytes = 1048576\n", async |ingest| {
        let large = |id: &str| Webhook::new("generic", id, "t", &[b'x'; 60_000]).request();
        let (mut missing, mut refused) = (BTreeSet::new(), 0);
        for id in numbered(60) {
            let answer = ingest.send(&large(&id)).await;
            match answer.status {
                200 => assert!(missing.insert(id)),
                _ => {
                    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
                    refused += 1;
                }
            }
        }
        assert!(refused > 10 && missing.len() > 20, "{refused} refused, {} taken", missing.len());
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 503 && ready.body.contains("the spool takes nothing"), "{ready:?}");
        while !missing.is_empty() {
            missing.remove(&ingest.broker.take().await.id);
        }
        ingest.ready().await;
        assert_eq!(ingest.send(&large("again")).await.status, 200);
        assert_eq!(ingest.broker.take().await.id, "again");
    })
    .await;
}

async fn spool_some(program: &Program, ids: &[String]) {
    program.up().await;
    for id in ids {
        assert_eq!(program.send(&webhook(id).request()).await.status, 200);
    }
}

#[tokio::test]
async fn what_a_killed_ingest_had_spooled_is_drained_by_the_next() {
    let broker = Broker::connect().await;
    let mut first = Program::start(&broker, without_broker);
    let ids = numbered(10);
    spool_some(&first, &ids).await;
    first.child.kill().await.unwrap();
    let second = Program::start(&broker, |_| {});
    second.ready().await;
    for id in &ids {
        assert_eq!(&broker.take().await.id, id);
    }
    broker.clean_up().await;
}

#[tokio::test]
async fn an_orphaned_spool_is_adopted_by_a_sibling() {
    let broker = Broker::connect().await;
    let mut first = Program::start(&broker, without_broker);
    let ids = numbered(5);
    spool_some(&first, &ids).await;
    let second = Program::start(&broker, |_| {});
    second.ready().await;
    assert!(broker.is_empty().await, "a locked spool was drained");
    first.child.kill().await.unwrap();
    for id in &ids {
        assert_eq!(&broker.take().await.id, id);
    }
    broker.clean_up().await;
}

#[tokio::test]
async fn a_full_spool_is_503_and_down() {
    run_without_broker("[spool]\nmax_bytes = 1048576\n", async |ingest| {
        let body = vec![b'x'; 60_000];
        let mut statuses = Vec::new();
        for number in 0..20 {
            let request = Webhook::new("generic", &number.to_string(), "t", &body).request();
            let answer = ingest.send(&request).await;
            if answer.status == 503 {
                assert_eq!((answer.problem().as_str(), answer.headers["retry-after"].as_str()), ("unavailable", "5"));
            }
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [[200; 17].as_slice(), &[503; 3]].concat());
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 503 && ready.body.contains("the spool takes nothing"), "{ready:?}");
        ingest.counted("webhook_spool_bytes_limit 1048576").await;
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_is_almost_full_is_503() {
    run_without_broker("[spool]\nmin_free_bytes = 9000000000000000\n", async |ingest| {
        assert_eq!(ingest.send(&webhook("1").request()).await.status, 503);
        assert_eq!(ingest.ops("/readyz").await.status, 503);
    })
    .await;
}

#[tokio::test]
async fn of_a_damaged_file_the_good_records_are_published_and_the_file_is_kept() {
    let broker = Broker::connect().await;
    let root = spool_dir(&broker.prefix);
    let replica = Replica::claim(&root).unwrap();
    let mut batch = BatchBuilder::default();
    for id in ["first", "damaged", "third"] {
        batch.push(&message(id)).unwrap();
    }
    let mut bytes = batch.finish();
    let middle = bytes.windows(7).position(|window| window == b"damaged").unwrap();
    bytes[middle] ^= 1;
    let name = BatchName::default().next(OffsetDateTime::now_utc());
    std::fs::write(replica.folder(Folder::New).join(name.to_string()), bytes).unwrap();
    std::fs::write(replica.folder(Folder::Tmp).join(name.next(OffsetDateTime::now_utc()).to_string()), "half").unwrap();
    let corrupt = replica.folder(Folder::Corrupt);
    let unfinished = replica.folder(Folder::Tmp);
    drop(replica);
    run_on(broker, async |ingest| {
        ingest.counted("webhook_spool_drained_total 2").await;
        for id in ["first", "third"] {
            assert_eq!(ingest.broker.take().await.id, id);
        }
        ingest.counted("webhook_spool_corrupt_files 1").await;
        ingest.counted("webhook_spool_set_aside_total 1").await;
        ingest.counted("webhook_spool_files 0").await;
        assert_eq!(batches(&corrupt).unwrap().iter().map(|file| file.name).collect::<Vec<_>>(), [name]);
        assert_eq!(batches(&unfinished).unwrap(), []);
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 200 && ready.body.contains("corrupt files"), "{ready:?}");
        assert!(ingest.broker.is_empty().await);
    })
    .await;
}

/// Leaves a batch file with one webhook behind.
pub(crate) fn leave(replica: &Replica, name: BatchName, id: &str) {
    let mut batch = BatchBuilder::default();
    batch.push(&message(id)).unwrap();
    std::fs::write(replica.folder(Folder::New).join(name.to_string()), batch.finish()).unwrap();
}

/// Something with a file's name that no read gets anything from (EISDIR), for root neither.
fn leave_unreadable(replica: &Replica, name: BatchName) -> PathBuf {
    let path = replica.folder(Folder::New).join(name.to_string());
    std::fs::create_dir(&path).unwrap();
    path
}

#[tokio::test]
async fn a_file_that_cannot_be_read_holds_up_no_other_and_is_drained_when_it_can() {
    let broker = Broker::connect().await;
    let root = spool_dir(&broker.prefix);
    let (own, orphan) = (Replica::claim(&root).unwrap(), Replica::claim(&root).unwrap());
    let first = BatchName::default().next(OffsetDateTime::now_utc());
    let second = first.next(OffsetDateTime::now_utc());
    let paths = [leave_unreadable(&own, first), leave_unreadable(&orphan, first)];
    leave(&own, second, "own");
    leave(&orphan, second, "orphan");
    drop((own, orphan));
    run_on(broker, async |ingest| {
        ingest.counted("webhook_spool_drained_total 2").await;
        for id in ["own", "orphan"] {
            assert_eq!(ingest.broker.take().await.id, id);
        }
        ingest.counted("webhook_spool_deferred_files 1").await;
        ingest.counted("webhook_spool_adopted_deferred_files 1").await;
        ingest.counted("webhook_spool_files 1").await;
        let ready = ingest.ops("/readyz").await;
        assert!(ready.status == 200 && ready.body.contains("cannot be read"), "{ready:?}");

        std::fs::remove_dir(&paths[0]).unwrap();
        let mut batch = BatchBuilder::default();
        batch.push(&message("readable again")).unwrap();
        std::fs::write(&paths[0], batch.finish()).unwrap();
        std::fs::remove_dir(&paths[1]).unwrap();
        assert_eq!(ingest.broker.take().await.id, "readable again");
        ingest.ready().await;
    })
    .await;
}

/// A fresh one, and one in a file between others: it is kept for a person, and everything else passes.
#[tokio::test]
async fn exclusive_a_message_that_the_broker_never_takes_holds_up_no_other() {
    let small = Upset::message_size(20_000).await;
    let broker = Broker::connect().await;
    let replica = Replica::claim(&spool_dir(&broker.prefix)).unwrap();
    let mut batch = BatchBuilder::default();
    for (id, body) in [("first", 2), ("too large", 50_000), ("third", 2)] {
        let body = vec![b'x'; body];
        batch.push(&Message { body_sha256: sha256(&body), body: body.into(), ..message(id) }).unwrap();
    }
    let name = BatchName::default().next(OffsetDateTime::now_utc());
    std::fs::write(replica.folder(Folder::New).join(name.to_string()), batch.finish()).unwrap();
    leave(&replica, name.next(OffsetDateTime::now_utc()), "behind it");
    drop(replica);
    run_on(broker, async |ingest| {
        ingest.counted("webhook_spool_set_aside_total 1").await;
        ingest.counted("webhook_spool_drained_total 3").await;
        assert_eq!(ingest.send(&Webhook::new("generic", "large", "t", &[b'x'; 50_000]).request()).await.status, 200);
        ingest.counted("webhook_spool_set_aside_total 2").await;
        assert_eq!(ingest.send(&webhook("after").request()).await.status, 200);
        let mut missing = BTreeSet::from(["first", "third", "behind it", "after"].map(str::to_owned));
        while !missing.is_empty() {
            missing.remove(&ingest.broker.take().await.id);
        }
        ingest.counted("webhook_spool_corrupt_files 2").await;
        ingest.counted("webhook_spool_files 0").await;
    })
    .await;
    tokio::task::spawn_blocking(move || drop(small)).await.unwrap();
}

fn message(id: &str) -> Message {
    Message {
        source: Name::try_from("generic").unwrap(),
        provider: Name::try_from("generic").unwrap(),
        id: id.to_owned(),
        topic: "t".to_owned(),
        received_at: OffsetDateTime::now_utc(),
        content_type: None,
        headers: Vec::new(),
        body_sha256: sha256(b"{}"),
        attempt: 0,
        traceparent: None,
        steering: None,
        body: "{}".into(),
    }
}
