//! A [`Message`] as AMQP properties and headers, and back.
//!
//! What AMQP has a property for is there: id, `<provider>.<topic>`, media type, time. The rest is one header of JSON,
//! beside the W3C `traceparent`: the broker takes a table of headers apart for every message, and each entry costs it
//! and us (docs/adr/0016).
//!
//! Nothing else is ever written: a carried `x-death` or `x-delivery-count` would make the broker drop a republished
//! message as a cycle.

use std::borrow::Cow;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::properties::{content_type, header, header_text, kind, message_id, printable};
use super::{Message, REPLAY_MARK, Replay, ReplayMode, Steering, VERSION, sha256, version_1};
use crate::name::Name;

/// The header that holds the [`Envelope`].
const ENVELOPE: &str = "oncehook";
const TRACEPARENT: &str = "traceparent";
/// AMQP's persistent delivery mode.
const PERSISTENT: u8 = 2;

/// What there is no property for. Whatever is missing is told by name, and the rest is kept: [`salvage`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Envelope<'m> {
    pub(super) version: Option<i64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Cow<'m, str>>,
    /// RFC 3339, as all times here.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) received_at: Option<Cow<'m, str>>,
    /// In hexadecimal digits.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) body_sha256: Option<Cow<'m, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u32>,
    /// The provider's, as names and values.
    #[serde(borrow)]
    pub(super) headers: Vec<(Cow<'m, str>, Cow<'m, str>)>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) steered_at: Option<Cow<'m, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) replay_of: Option<Cow<'m, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) replay_run: Option<Cow<'m, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) replay_mode: Option<Cow<'m, str>>,
}

/// A message that does not fit into AMQP's short strings. ingest refuses such ids and topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {field} has more than 255 bytes")]
pub struct EncodeError {
    field: &'static str,
}

/// Why a message on the queue cannot be read. The worker parks it, never drops it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer or foreign program.
    #[error("the message has envelope version {found}, this worker reads {VERSION} and the one before")]
    Version {
        /// What the envelope says.
        found: String,
    },
    /// A property or a field of the envelope is missing or not of its form.
    #[error("the message's {field} is missing or malformed")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// The body is not the one that ingest received.
    #[error("the message's body does not have the SHA-256 that its envelope says")]
    BodyAltered,
}

/// The properties and headers for a message; the body goes beside them as it is.
///
/// # Errors
/// When id or type exceed AMQP's short strings.
pub fn encode(message: &Message) -> Result<BasicProperties, EncodeError> {
    let mut headers = FieldTable::default();
    let mut text = |name: &str, value: Vec<u8>| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    };
    // Strings and numbers: there is nothing in it that JSON cannot say.
    text(ENVELOPE, serde_json::to_vec(&Envelope::of(message)).unwrap_or_default());
    if let Some(traceparent) = &message.traceparent {
        text(TRACEPARENT, traceparent.as_bytes().to_vec());
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("oncehook".into())
        .with_message_id(short("webhook id", &message.id)?)
        .with_type(short("topic", &format!("{}.{}", message.provider, message.topic))?)
        .with_timestamp(u64::try_from(message.received_at.unix_timestamp()).unwrap_or_default())
        .with_headers(headers);
    // A media type too long for AMQP is no media type; the body does not depend on it.
    if let Some(content_type) = message.content_type.as_deref().and_then(|text| ShortString::try_new(text).ok()) {
        properties = properties.with_content_type(content_type);
    }
    Ok(properties)
}

fn short(field: &'static str, text: &str) -> Result<ShortString, EncodeError> {
    ShortString::try_new(text).map_err(|_too_long| EncodeError { field })
}

impl<'m> Envelope<'m> {
    fn of(message: &'m Message) -> Self {
        let replay = message.replay();
        let headers = message.headers.iter();
        Self {
            version: Some(VERSION),
            source: Some(message.source.as_str().into()),
            received_at: time_text(message.received_at),
            body_sha256: Some(hex::encode(message.body_sha256).into()),
            attempt: Some(message.attempt),
            headers: headers.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
            steered_at: message.steering.as_ref().and_then(|steering| time_text(steering.at)),
            replay_of: replay.map(|replay| replay.of.as_str().into()),
            replay_run: replay.map(|replay| replay.run.as_str().into()),
            replay_mode: replay.map(|replay| replay.mode.as_str().into()),
        }
    }

    /// Reads one of this version.
    fn read(text: &'m [u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Stamp {
            version: Option<i64>,
        }
        let envelope = serde_json::from_slice::<Self>(text);
        let version = match &envelope {
            Ok(envelope) => envelope.version,
            Err(_malformed) => serde_json::from_slice(text).ok().and_then(|Stamp { version }| version),
        };
        if version != Some(VERSION) {
            let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(DecodeError::Version { found });
        }
        envelope.map_err(|_malformed| malformed(ENVELOPE))
    }

    /// What a person wants with the message of this id. An id of a replay is read only together with what it was made
    /// from.
    fn steering(&self, id: &str) -> Result<Option<Steering>, DecodeError> {
        let at = match &self.steered_at {
            Some(text) => Some(time(text).ok_or_else(|| malformed("steered_at"))?),
            None => None,
        };
        let Some(of) = &self.replay_of else {
            if id.starts_with(REPLAY_MARK) {
                return Err(malformed("replay_of"));
            }
            return Ok(at.map(|at| Steering { at, replay: None }));
        };
        let run = self.replay_run.as_deref().and_then(|run| Name::try_from(run).ok());
        let run = run.ok_or_else(|| malformed("replay_run"))?;
        let mode = self.replay_mode.as_deref().and_then(ReplayMode::from_text);
        let mode = mode.ok_or_else(|| malformed("replay_mode"))?;
        let replay = Replay { of: of.clone().into_owned(), run, mode };
        if replay.id() != id {
            return Err(malformed("replay_of"));
        }
        Ok(Some(Steering { at: at.ok_or_else(|| malformed("steered_at"))?, replay: Some(replay) }))
    }

    fn source(&self) -> Option<Name> {
        self.source.as_deref().and_then(|source| Name::try_from(source).ok())
    }

    fn received_at(&self) -> Option<OffsetDateTime> {
        self.received_at.as_deref().and_then(time)
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.headers.iter().map(|(name, value)| (printable(name), printable(value))).collect()
    }
}

fn malformed(field: &'static str) -> DecodeError {
    DecodeError::Field { field }
}

fn time_text(time: OffsetDateTime) -> Option<Cow<'static, str>> {
    time.format(&Rfc3339).ok().map(Cow::Owned)
}

fn time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Reads a message back.
///
/// # Errors
/// When it was not written by [`encode`] in this version or the one before; then [`salvage`] keeps what there is.
pub fn decode(properties: &BasicProperties, body: Bytes) -> Result<Message, DecodeError> {
    let envelope = match version_1::read(properties) {
        Some(envelope) => envelope,
        None => Envelope::read(header(properties, ENVELOPE).unwrap_or_default())?,
    };
    let (provider, topic) = kind(properties).ok_or_else(|| malformed("type"))?;
    let body_sha256 = sha256(&body);
    if envelope.body_sha256.as_deref().ok_or_else(|| malformed("body_sha256"))? != hex::encode(body_sha256) {
        return Err(DecodeError::BodyAltered);
    }
    let id = message_id(properties).ok_or_else(|| malformed("message_id"))?;
    Ok(Message {
        source: envelope.source().ok_or_else(|| malformed("source"))?,
        provider: Name::try_from(provider).map_err(|_not_a_name| malformed("type"))?,
        steering: envelope.steering(id)?,
        id: id.to_owned(),
        topic: topic.to_owned(),
        received_at: envelope.received_at().ok_or_else(|| malformed("received_at"))?,
        content_type: content_type(properties),
        headers: envelope.headers(),
        body_sha256,
        attempt: envelope.attempt.ok_or_else(|| malformed("attempt"))?,
        traceparent: header_text(properties, TRACEPARENT),
        body,
    })
}

/// Makes the best message of one that [`decode`] refused, so that it can be parked under a stable
/// key and looked at: what cannot be read is `unknown`, the id falls back to the body's hash.
#[must_use]
pub fn salvage(properties: &BasicProperties, body: Bytes) -> Message {
    let current = || header(properties, ENVELOPE).and_then(|text| serde_json::from_slice(text).ok());
    let envelope: Envelope<'_> = version_1::read(properties).or_else(current).unwrap_or_default();
    let (provider, topic) = kind(properties).unwrap_or_default();
    let body_sha256 = sha256(&body);
    let id = message_id(properties).map_or_else(|| hex::encode(body_sha256), str::to_owned);
    Message {
        source: envelope.source().unwrap_or_else(Name::unknown),
        provider: Name::try_from(provider).unwrap_or_else(|_not_a_name| Name::unknown()),
        steering: envelope.steering(&id).ok().flatten(),
        id,
        topic: topic.to_owned(),
        received_at: envelope.received_at().unwrap_or_else(OffsetDateTime::now_utc),
        content_type: content_type(properties),
        headers: envelope.headers(),
        body_sha256,
        attempt: envelope.attempt.unwrap_or_default(),
        traceparent: header_text(properties, TRACEPARENT),
        body,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(id: String, topic: String, body: Vec<u8>, attempt: u32) -> Message {
        Message {
            source: Name::try_from("shop-1").unwrap(),
            provider: Name::try_from("shopify").unwrap(),
            id,
            topic,
            received_at: OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap(),
            content_type: Some("application/json".to_owned()),
            headers: vec![("x-shopify-shop-domain".to_owned(), "ü.example".to_owned())],
            body_sha256: sha256(&body),
            attempt,
            traceparent: None,
            steering: None,
            body: body.into(),
        }
    }

    /// The same message as a person would send it again.
    fn steered(message: Message, replay: Option<(&str, ReplayMode)>) -> Message {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_800_000_000_987_654_321).unwrap();
        let of = message.id.clone();
        let replay = replay.map(|(run, mode)| Replay { of, run: Name::try_from(run).unwrap(), mode });
        let id = replay.as_ref().map_or_else(|| message.id.clone(), Replay::id);
        Message { id, steering: Some(Steering { at, replay }), ..message }
    }

    /// A message whose envelope says something else.
    fn altered(message: &Message, field: &str, value: serde_json::Value) -> BasicProperties {
        let properties = encode(message).unwrap();
        let mut envelope: serde_json::Value = serde_json::from_slice(header(&properties, ENVELOPE).unwrap()).unwrap();
        envelope[field] = value;
        let mut headers = properties.headers().clone().unwrap();
        headers.insert(ENVELOPE.into(), AMQPValue::LongString(envelope.to_string().into()));
        properties.with_headers(headers)
    }

    #[test]
    fn what_is_missing_or_malformed_is_told_by_name() {
        let message = message("w1".to_owned(), "t".to_owned(), b"{}".to_vec(), 0);
        for field in ["source", "received_at", "body_sha256", "attempt"] {
            let error = decode(&altered(&message, field, serde_json::Value::Null), message.body.clone()).unwrap_err();
            assert_eq!(error, DecodeError::Field { field });
        }
        let error = decode(&altered(&message, "attempt", "first".into()), message.body.clone()).unwrap_err();
        assert_eq!(error, DecodeError::Field { field: ENVELOPE });
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            id in "[ -~]{1,255}", topic in "[a-z/._]{0,80}",
            body in proptest::collection::vec(any::<u8>(), 0..200), attempt in any::<u32>(),
            steering in 0..4,
        ) {
            let fresh = message(id, topic, body, attempt);
            let message = match steering {
                0 => fresh,
                1 => steered(fresh, None),
                2 => steered(fresh, Some(("r1", ReplayMode::FillIn))),
                _ => steered(fresh, Some(("r1", ReplayMode::Resend))),
            };
            let properties = encode(&message).unwrap();
            prop_assert_eq!(decode(&properties, message.body.clone()), Ok(message.clone()));
            prop_assert_eq!(salvage(&properties, message.body.clone()), message);
        }
    }

    #[test]
    fn an_unknown_version_is_told_and_salvaged() {
        let message = message("w1".to_owned(), "orders/paid".to_owned(), b"{}".to_vec(), 0);
        let properties = altered(&message, "version", 99.into());
        let error = decode(&properties, message.body.clone()).unwrap_err();
        assert_eq!(error, DecodeError::Version { found: "99".to_owned() });
        assert_eq!(salvage(&properties, message.body.clone()), message);
        // Nor does another version have to have our fields.
        let mut future = properties.headers().clone().unwrap();
        future.insert(ENVELOPE.into(), AMQPValue::LongString(r#"{"version":3,"source":[]}"#.into()));
        let error = decode(&properties.with_headers(future), message.body).unwrap_err();
        assert_eq!(error, DecodeError::Version { found: "3".to_owned() });
    }

    #[test]
    fn a_replay_is_read_only_with_what_its_id_was_made_from() {
        let first = message("w1".to_owned(), "t".to_owned(), b"{}".to_vec(), 0);
        let replay = steered(first, Some(("r1", ReplayMode::Resend)));
        for (field, value) in
            [("replay_of", "w2"), ("replay_run", "r2"), ("replay_mode", "maybe"), ("steered_at", "now")]
        {
            let error = decode(&altered(&replay, field, value.into()), replay.body.clone()).unwrap_err();
            assert!(matches!(error, DecodeError::Field { .. }), "{field}: {error}");
        }
        // The id alone makes no replay, nor an ordinary webhook.
        let bare = encode(&Message { steering: None, ..replay.clone() }).unwrap();
        assert_eq!(decode(&bare, replay.body.clone()).unwrap_err(), DecodeError::Field { field: "replay_of" });
        assert_eq!(salvage(&bare, replay.body.clone()).steering, None);
    }

    #[test]
    fn a_foreign_message_is_salvaged_under_its_hash() {
        let properties = BasicProperties::default();
        assert!(decode(&properties, Bytes::from_static(b"?")).is_err());
        let salvaged = salvage(&properties, Bytes::from_static(b"?"));
        assert_eq!((salvaged.source.as_str(), salvaged.id), ("unknown", hex::encode(sha256(b"?"))));
    }

    #[test]
    fn an_altered_body_is_noticed() {
        let message = message("w1".to_owned(), "t".to_owned(), b"abc".to_vec(), 0);
        let properties = encode(&message).unwrap();
        assert_eq!(decode(&properties, Bytes::from_static(b"abd")), Err(DecodeError::BodyAltered));
    }

    #[test]
    fn an_id_too_long_for_amqp_is_an_error() {
        let message = message("x".repeat(256), "t".to_owned(), Vec::new(), 0);
        assert_eq!(encode(&message).unwrap_err().to_string(), "the webhook id has more than 255 bytes");
    }
}
