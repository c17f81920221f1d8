//! What is held of a webhook whose disk hangs.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use prometheus_client::registry::Registry;
use shared::config::IngestConfig;
use shared::spool::{Limits, Replica, Store};
use tokio::time::Instant;

use super::simulation::message;
use super::{Metrics, NotSpooled, Spool};
use crate::room::Room;

#[tokio::test]
async fn a_body_that_a_hung_disk_holds_takes_its_room_after_the_answer() {
    let limits = IngestConfig { max_in_flight_bytes: 1024 * 1024, ..IngestConfig::default() };
    let room = Room::new(&limits, crate::metrics::Metrics::register(&mut Registry::default(), &limits));
    let root = std::env::temp_dir().join(format!("oncehook-hung-{}", std::process::id()));
    let store = Arc::new(Store::open(Replica::claim(&root).unwrap(), Limits::NONE).unwrap());
    let (commands, never_served) = sync_channel(10);
    let spool = Spool { commands, store, metrics: Metrics::default() };

    let mut bytes = room.bytes();
    assert!(bytes.grow_to(600 * 1024).is_ok());
    let kept = spool.keep(message(1), bytes, Instant::now()).await;
    assert_eq!(kept, Err(NotSpooled::TimedOut));
    assert!(room.bytes().grow_to(600 * 1024).is_err(), "the body is still in memory");
    drop(never_served.recv());
    assert!(room.bytes().grow_to(600 * 1024).is_ok());
    std::fs::remove_dir_all(root).unwrap();
}
