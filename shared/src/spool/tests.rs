//! Laws of the format and of the directories.

use bytes::Bytes;
use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;
use crate::message::{Message, sha256};
use crate::name::Name;

fn message(id: &str, body: &[u8]) -> Message {
    Message {
        source: Name::try_from("shop-1").unwrap(),
        provider: Name::try_from("shopify").unwrap(),
        id: id.to_owned(),
        topic: "orders/paid".to_owned(),
        received_at: OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap(),
        content_type: Some("application/json".to_owned()),
        headers: vec![("x-shopify-shop-domain".to_owned(), "ü.example".to_owned())],
        body_sha256: sha256(body),
        attempt: 3,
        traceparent: None,
        steering: None,
        body: Bytes::copy_from_slice(body),
    }
}

fn file(messages: &[Message]) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for message in messages {
        builder.push(message).unwrap();
    }
    builder.finish()
}

prop_compose! {
    fn any_message()(
        id in ".{1,80}", topic in "[a-z/]{0,40}", body in proptest::collection::vec(any::<u8>(), 0..300),
        nanos in 0..4_000_000_000_000_000_000_i128, attempt in any::<u32>(), content_type in proptest::option::of(".{0,30}"),
        headers in proptest::collection::vec((".{0,20}", ".{0,40}"), 0..5), traceparent in proptest::option::of(".{0,60}"),
    ) -> Message {
        let received_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
        Message { topic, received_at, content_type, headers, attempt, traceparent, ..message(&id, &body) }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(messages in proptest::collection::vec(any_message(), 0..6)) {
        let batch = Batch::decode(file(&messages).into());
        prop_assert_eq!(batch, Batch { messages, damage: Vec::new() });
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!Batch::decode(bytes.into()).damage.is_empty());
    }

    /// Past the CRCs, so that the fields themselves are met with nonsense.
    #[test]
    fn any_record_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize, value in any::<u8>()) {
        drop(record::decode(bytes.into()));
        let mut record = Vec::new();
        record::encode(&message("w1", b"{}"), &mut record).unwrap();
        let at = at % record.len();
        record[at] = value;
        drop(record::decode(record.into()));
    }

    #[test]
    fn names_order_as_their_texts(a in any::<(u32, u8)>(), b in any::<(u32, u8)>()) {
        let name = |(nanos, times): (u32, u8)| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).unwrap();
            (0..times % 4).fold(BatchName::default(), |name, _| name.next(at))
        };
        let (a, b) = (name(a), name(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.to_string().parse(), Ok(a));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_the_other_records_stay() {
    let messages = [message("w1", b"first"), message("w2", b"second"), message("w3", b"third")];
    let bytes = file(&messages);
    for position in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[position / 8] ^= 1 << (position % 8);
        let batch = Batch::decode(flipped.into());
        assert!(!batch.damage.is_empty(), "bit {position} passed unnoticed");
        assert!(batch.messages.iter().all(|message| messages.contains(message)));
        // A payload's damage is its own; only a damaged length hides what follows.
        let hides = batch.damage.iter().any(|damage| matches!(damage, Damage::Length(_)));
        assert!(hides || batch.messages.len() >= 2, "bit {position}: {:?}", batch.damage);
    }
}

#[test]
fn truncation_at_any_byte_is_noticed() {
    let bytes = file(&[message("w1", b"first"), message("w2", b"second")]);
    for length in 0..bytes.len() {
        let batch = Batch::decode(Bytes::copy_from_slice(&bytes[..length]));
        assert!(!batch.damage.is_empty(), "cut off at {length} passed unnoticed");
        assert!(batch.messages.len() < 2);
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(!Batch::decode(longer.into()).damage.is_empty());
}

#[test]
fn a_hostile_length_is_damage() {
    let mut head = u32::MAX.to_le_bytes().to_vec();
    head.extend_from_slice(&[0; 4]);
    let crc = crc32fast::hash(&head);
    head.extend_from_slice(&crc.to_le_bytes());
    let mut bytes = file(&[message("w1", b"first")]);
    let end = bytes.len();
    bytes.extend_from_slice(&head);
    let batch = Batch::decode(bytes.into());
    assert_eq!((batch.messages.len(), batch.damage), (1, vec![Damage::Length(end)]));
}

#[test]
fn only_what_a_provider_sent_is_spooled() {
    let steering = Some(crate::message::Steering { at: OffsetDateTime::UNIX_EPOCH, replay: None });
    let mut builder = BatchBuilder::default();
    let redriven = Message { steering, ..message("w1", b"{}") };
    assert_eq!(builder.push(&redriven), Err(RecordError::Steered));
    assert!(builder.is_empty());
}

#[test]
fn a_newer_version_is_not_guessed_at() {
    let mut bytes = file(&[message("w1", b"first")]);
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Batch::decode(bytes.into()), Batch { messages: Vec::new(), damage: vec![Damage::Version(2)] });
}

#[test]
fn the_format_stays_as_it_was_released() {
    let bytes = file(&[message("w1", b"first")]);
    let hex = hex::encode(&bytes);
    insta::assert_snapshot!(hex);
}

#[test]
fn names_never_go_back() {
    let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let first = BatchName::default().next(at(100));
    let second = first.next(at(50));
    assert!(second > first && second.received_at() == at(100));
    assert!(second.next(at(101)) > second);
    for bad in ["", "a.batch", "1-1.batch", "00000000000000000001-00000000000000000001.batch.tmp"] {
        assert!(bad.parse::<BatchName>().is_err(), "{bad}");
    }
}

#[test]
fn a_replica_has_a_directory_to_itself_and_orphans_are_found() {
    let root = std::env::temp_dir().join(format!("oncehook-spool-{}", uuid::Uuid::new_v4()));
    assert_eq!(replicas(&root).unwrap(), Vec::<std::path::PathBuf>::new());
    let first = Replica::claim(&root).unwrap();
    let second = Replica::claim(&root).unwrap();
    assert_ne!(first.path(), second.path());
    assert!(Replica::orphans(&root).unwrap().is_empty());
    let path = second.path().to_owned();
    drop(second);
    let orphans = Replica::orphans(&root).unwrap();
    assert_eq!(orphans.iter().map(Replica::path).collect::<Vec<_>>(), [path.as_path()]);
    let third = Replica::claim(&root).unwrap();
    assert!(third.path() != path && third.path() != first.path());
    std::fs::write(first.folder(Folder::New).join("not-a-batch"), "x").unwrap();
    assert_eq!(batches(&first.folder(Folder::New)).unwrap(), []);
    std::fs::remove_dir_all(root).unwrap();
}
