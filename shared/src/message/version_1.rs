//! The envelope of version 1, which is read and no longer written: fifteen headers, named after the CloudEvents binding for
//! AMQP. What is on the queue during an upgrade is processed like any other (docs/adr/0016).
//!
//! Id, `<provider>.<topic>`, media type and `traceparent` are where they still are.

use std::borrow::Cow;

use lapin::BasicProperties;
use lapin::types::AMQPValue;

use super::envelope::Envelope;
use super::properties::{bytes, number, value};

const VERSION: &str = "oncehook-version";
const SOURCE: &str = "cloudEvents:source";
/// It is a URI reference: the path that the webhook was posted to.
const SOURCE_PATH: &str = "/webhooks/";
const TIME: &str = "cloudEvents:time";
const BODY_SHA256: &str = "x-body-sha256";
const ATTEMPT: &str = "x-attempt";
const HTTP_HEADERS: &str = "x-http-headers";
const STEERED_AT: &str = "oncehook-steered-at";
const REPLAY_OF: &str = "oncehook-replay-of";
const REPLAY_RUN: &str = "oncehook-replay-run";
const REPLAY_MODE: &str = "oncehook-replay-mode";

/// What the headers of a message of version 1 say; `None` for any other.
pub(super) fn read(properties: &BasicProperties) -> Option<Envelope<'_>> {
    let version = number(properties, VERSION).filter(|version| *version == 1)?;
    let header = |name: &str| text(value(properties, name)?);
    Some(Envelope {
        version: Some(version),
        source: value(properties, SOURCE)
            .and_then(plain)
            .and_then(|path| path.strip_prefix(SOURCE_PATH))
            .map(Cow::from),
        received_at: header(TIME),
        body_sha256: header(BODY_SHA256),
        attempt: number(properties, ATTEMPT).and_then(|attempt| attempt.try_into().ok()),
        headers: http_headers(properties),
        steered_at: header(STEERED_AT),
        replay_of: header(REPLAY_OF),
        replay_run: header(REPLAY_RUN),
        replay_mode: header(REPLAY_MODE),
    })
}

fn http_headers(properties: &BasicProperties) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let Some(AMQPValue::FieldTable(table)) = value(properties, HTTP_HEADERS) else { return Vec::new() };
    table.inner().iter().filter_map(|(name, value)| Some((name.as_str().into(), text(value)?))).collect()
}

fn text(value: &AMQPValue) -> Option<Cow<'_, str>> {
    plain(value).map(Cow::from)
}

fn plain(value: &AMQPValue) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

#[cfg(test)]
mod tests {
    use lapin::types::{FieldTable, LongString};
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::super::{DecodeError, Message, Replay, ReplayMode, Steering, decode, salvage, sha256};
    use super::*;
    use crate::name::Name;

    /// As programs wrote it that know version 1 alone: their own code.
    fn encode_version_1(message: &Message) -> BasicProperties {
        let kind = format!("{}.{}", message.provider, message.topic);
        let mut headers = FieldTable::default();
        let mut text = |name: &str, value: &str| {
            headers.insert(name.into(), AMQPValue::LongString(LongString::from(value.as_bytes())));
        };
        text("cloudEvents:id", &message.id);
        text("cloudEvents:source", &format!("/webhooks/{}", message.source));
        text("cloudEvents:type", &kind);
        text("cloudEvents:time", &message.received_at.format(&Rfc3339).unwrap_or_default());
        text("cloudEvents:specversion", "1.0");
        text("x-body-sha256", &hex::encode(message.body_sha256));
        if let Some(traceparent) = &message.traceparent {
            text("traceparent", traceparent);
        }
        if let Some(steering) = &message.steering {
            text("oncehook-steered-at", &steering.at.format(&Rfc3339).unwrap_or_default());
        }
        if let Some(replay) = message.replay() {
            text("oncehook-replay-of", &replay.of);
            text("oncehook-replay-run", replay.run.as_str());
            text("oncehook-replay-mode", replay.mode.as_str());
        }
        headers.insert("oncehook-version".into(), AMQPValue::LongInt(1));
        headers.insert("x-attempt".into(), AMQPValue::LongUInt(message.attempt));
        let mut table = FieldTable::default();
        for (name, value) in &message.headers {
            table.insert(name.as_str().into(), AMQPValue::LongString(LongString::from(value.as_bytes())));
        }
        headers.insert("x-http-headers".into(), AMQPValue::FieldTable(table));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_app_id("oncehook".into())
            .with_message_id(message.id.as_str().into())
            .with_type(kind.into())
            .with_timestamp(u64::try_from(message.received_at.unix_timestamp()).unwrap_or_default())
            .with_headers(headers);
        message.content_type.as_deref().map_or(properties.clone(), |text| properties.with_content_type(text.into()))
    }

    fn message(id: String, body: Vec<u8>, attempt: u32, steering: Option<Option<ReplayMode>>) -> Message {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_800_000_000_987_654_321).unwrap();
        let run = Name::try_from("r1").unwrap();
        let replay = steering.flatten().map(|mode| Replay { of: id.clone(), run, mode });
        Message {
            source: Name::try_from("shop-1").unwrap(),
            provider: Name::try_from("shopify").unwrap(),
            id: replay.as_ref().map_or(id, Replay::id),
            topic: "orders/paid".to_owned(),
            received_at: OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap(),
            content_type: Some("application/json".to_owned()),
            headers: vec![("x-shopify-shop-domain".to_owned(), "ü.example".to_owned())],
            body_sha256: sha256(&body),
            attempt,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            steering: steering.map(|_| Steering { at, replay }),
            body: body.into(),
        }
    }

    proptest! {
        #[test]
        fn what_version_1_wrote_is_read_and_salvaged(
            id in "[ -~]{1,255}", body in proptest::collection::vec(any::<u8>(), 0..200), attempt in any::<u32>(),
            steering in 0..4,
        ) {
            let steering = match steering {
                0 => None,
                1 => Some(None),
                2 => Some(Some(ReplayMode::FillIn)),
                _ => Some(Some(ReplayMode::Resend)),
            };
            let message = message(id, body, attempt, steering);
            let properties = encode_version_1(&message);
            prop_assert_eq!(decode(&properties, message.body.clone()), Ok(message.clone()));
            prop_assert_eq!(salvage(&properties, message.body.clone()), message);
        }
    }

    #[test]
    fn version_1_is_held_to_the_same_rules() {
        let message = message("w1".to_owned(), b"abc".to_vec(), 0, None);
        let properties = encode_version_1(&message);
        assert_eq!(decode(&properties, b"abd".as_slice().into()), Err(DecodeError::BodyAltered));
        for (header, field) in
            [(SOURCE, "source"), (TIME, "received_at"), (BODY_SHA256, "body_sha256"), (ATTEMPT, "attempt")]
        {
            let mut headers = properties.headers().clone().unwrap();
            headers.insert(header.into(), AMQPValue::LongString("/nowhere".into()));
            let altered = properties.clone().with_headers(headers);
            let error = decode(&altered, message.body.clone()).unwrap_err();
            let expected = [DecodeError::Field { field }, DecodeError::BodyAltered];
            assert!(expected.contains(&error), "{header}: {error}");
        }
        let mut headers = properties.headers().clone().unwrap();
        headers.insert(VERSION.into(), AMQPValue::LongInt(7));
        let error = decode(&properties.with_headers(headers), message.body).unwrap_err();
        assert!(matches!(error, DecodeError::Version { .. }), "{error}");
    }
}
