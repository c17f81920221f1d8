//! The writer's thread on the simulated disk: what it answers when a step fails, and when there is no room.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use prometheus_client::registry::Registry;
use shared::config::IngestConfig;
use shared::spool::{Disk as _, Folder, Limits, Settlement, Store, StoreError};
use time::OffsetDateTime;
use tokio::sync::{Notify, oneshot};

use super::disk::SimDisk;
use super::{Bug, message};
use crate::room::Room;
use crate::spool::NotSpooled;
use crate::spool::metrics::Metrics;
use crate::spool::writer::{Command, Grouping, Request, Writer};

/// A writer on a disk, handed some webhooks and told to stop; what each was answered, and the files.
fn write(disk: &SimDisk, limits: Limits, webhooks: u64) -> (Vec<Result<(), NotSpooled>>, usize) {
    let (commands, receiver) = sync_channel(100);
    let store = Arc::new(Store::open(disk.clone(), limits).unwrap());
    let ingest = IngestConfig::default();
    let room = Room::new(&ingest, crate::metrics::Metrics::register(&mut Registry::default(), &ingest));
    let mut answers = Vec::new();
    for number in 0..webhooks {
        let (done, answer) = oneshot::channel();
        commands
            .send(Command::Keep(Box::new(Request { message: message(number), _room: room.bytes(), done })))
            .unwrap();
        answers.push(answer);
    }
    commands.send(Command::Stop).unwrap();
    let grouping = Grouping { webhooks: 4, time: Duration::from_secs(60) };
    let (metrics, written) = (Metrics::default(), Arc::new(Notify::new()));
    Writer { store, commands: receiver, grouping, metrics, written }.run();
    let answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
    (answers, disk.list(Folder::New).unwrap().len())
}

#[test]
fn a_stopping_writer_finishes_the_group_in_hand() {
    assert_eq!(write(&SimDisk::new(1, Bug::None), Limits::NONE, 10), (vec![Ok(()); 10], 3));
}

/// The first file's fate is sealed by one failed step; the next file is written all the same.
#[test]
fn a_failed_step_refuses_its_whole_file_and_no_other() {
    for fuse in 1..=4 {
        let disk = SimDisk::new(fuse, Bug::None);
        disk.world().fuse = fuse;
        let (answers, _) = write(&disk, Limits::NONE, 4);
        assert_eq!(answers, [Err(NotSpooled::Failed); 4], "step {fuse}");
        disk.world().reboot();
        disk.world().fuse = u64::MAX;
        assert_eq!(write(&disk, Limits::NONE, 4).0, [Ok(()); 4]);
    }
}

#[test]
fn the_caps_refuse_and_room_is_made_by_publishing() {
    let disk = SimDisk::new(1, Bug::None);
    let full = Limits { max_bytes: 10, min_free_bytes: 0 };
    assert_eq!(write(&disk, full, 1), (vec![Err(NotSpooled::Full)], 0));
    disk.world().free = 1_000;
    assert_eq!(write(&disk, Limits { max_bytes: 10_000, min_free_bytes: 990 }, 1), (vec![Err(NotSpooled::LowDisk)], 0));
    let store = Store::open(disk.clone(), Limits { max_bytes: 100, min_free_bytes: 0 }).unwrap();
    store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH).unwrap();
    assert!(matches!(store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH), Err(StoreError::Full)));
    assert!(!store.takes_more());
    store.settle(store.oldest().unwrap(), Settlement::Remove).unwrap();
    assert!(store.takes_more());
    store.write(&[0; 60], OffsetDateTime::UNIX_EPOCH).unwrap();
}
