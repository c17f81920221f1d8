//! A [`Message`] as AMQP properties and headers, and back.
//!
//! Attribute names follow the `CloudEvents` AMQP protocol binding
//! (<https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/amqp-protocol-binding.md>).
//! Only what is on this list is ever written: a carried `x-death` or `x-delivery-count` would make
//! the broker drop a republished message as a cycle.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Message, REPLAY_MARK, Replay, ReplayMode, Steering, VERSION, sha256};
use crate::name::Name;

const VERSION_HEADER: &str = "oncehook-version";
const ID: &str = "cloudEvents:id";
const SOURCE: &str = "cloudEvents:source";
const TYPE: &str = "cloudEvents:type";
const TIME: &str = "cloudEvents:time";
const SPEC_VERSION: &str = "cloudEvents:specversion";
const BODY_SHA256: &str = "x-body-sha256";
const ATTEMPT: &str = "x-attempt";
const TRACEPARENT: &str = "traceparent";
const HTTP_HEADERS: &str = "x-http-headers";
const STEERED_AT: &str = "oncehook-steered-at";
const REPLAY_OF: &str = "oncehook-replay-of";
const REPLAY_RUN: &str = "oncehook-replay-run";
const REPLAY_MODE: &str = "oncehook-replay-mode";
/// `cloudEvents:source` is a URI reference: the path that the webhook was posted to.
const SOURCE_PATH: &str = "/webhooks/";
/// AMQP's persistent delivery mode.
const PERSISTENT: u8 = 2;

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
    #[error("the message has envelope version {found}, this worker reads {VERSION}")]
    Version {
        /// What the version header says.
        found: String,
    },
    /// A header is missing or not of its form.
    #[error("the message's header {header} is missing or malformed")]
    Header {
        /// The header's name.
        header: &'static str,
    },
    /// The body is not the one that ingest received.
    #[error("the message's body does not have the SHA-256 that its header says")]
    BodyAltered,
}

/// The properties and headers for a message; the body goes beside them as it is.
///
/// # Errors
/// When id or type exceed AMQP's short strings.
pub fn encode(message: &Message) -> Result<BasicProperties, EncodeError> {
    let kind = format!("{}.{}", message.provider, message.topic);
    let mut headers = FieldTable::default();
    let mut text = |name: &str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value.as_bytes())));
    };
    text(ID, &message.id);
    text(SOURCE, &format!("{SOURCE_PATH}{}", message.source));
    text(TYPE, &kind);
    text(TIME, &message.received_at.format(&Rfc3339).unwrap_or_default());
    text(SPEC_VERSION, "1.0");
    text(BODY_SHA256, &hex::encode(message.body_sha256));
    if let Some(traceparent) = &message.traceparent {
        text(TRACEPARENT, traceparent);
    }
    if let Some(steering) = &message.steering {
        text(STEERED_AT, &steering.at.format(&Rfc3339).unwrap_or_default());
    }
    if let Some(replay) = message.replay() {
        text(REPLAY_OF, &replay.of);
        text(REPLAY_RUN, replay.run.as_str());
        text(REPLAY_MODE, replay.mode.as_str());
    }
    headers.insert(VERSION_HEADER.into(), AMQPValue::LongInt(VERSION));
    headers.insert(ATTEMPT.into(), AMQPValue::LongUInt(message.attempt));
    headers.insert(HTTP_HEADERS.into(), AMQPValue::FieldTable(http_headers(&message.headers)));
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("oncehook".into())
        .with_message_id(short("webhook id", &message.id)?)
        .with_type(short("topic", &kind)?)
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

fn http_headers(headers: &[(String, String)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if let Ok(name) = ShortString::try_new(name.as_str()) {
            table.insert(name, AMQPValue::LongString(LongString::from(value.as_bytes())));
        }
    }
    table
}

/// Reads a message back.
///
/// # Errors
/// When it was not written by [`encode`] in this version; then [`salvage`] keeps what there is.
pub fn decode(properties: &BasicProperties, body: Bytes) -> Result<Message, DecodeError> {
    let headers = Headers(properties.headers().as_ref());
    match headers.number(VERSION_HEADER) {
        Some(version) if version == i64::from(VERSION) => {}
        found => {
            let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(DecodeError::Version { found });
        }
    }
    let malformed = |header| DecodeError::Header { header };
    let source = headers.text(SOURCE).ok_or_else(|| malformed(SOURCE))?;
    let source = source.strip_prefix(SOURCE_PATH).and_then(|name| Name::try_from(name).ok());
    let kind = headers.text(TYPE).ok_or_else(|| malformed(TYPE))?;
    let (provider, topic) = kind.split_once('.').filter(|_| is_short(&kind)).ok_or_else(|| malformed(TYPE))?;
    let received_at = headers.text(TIME).and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
    let body_sha256 = sha256(&body);
    if headers.text(BODY_SHA256).ok_or_else(|| malformed(BODY_SHA256))? != hex::encode(body_sha256) {
        return Err(DecodeError::BodyAltered);
    }
    let attempt = headers.number(ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok());
    let id = headers.text(ID).filter(|id| is_short(id)).ok_or_else(|| malformed(ID))?;
    Ok(Message {
        source: source.ok_or_else(|| malformed(SOURCE))?,
        provider: Name::try_from(provider).map_err(|_not_a_name| malformed(TYPE))?,
        steering: headers.steering(&id).map_err(malformed)?,
        id,
        topic: topic.to_owned(),
        received_at: received_at.ok_or_else(|| malformed(TIME))?,
        content_type: properties.content_type().as_ref().map(|text| printable(text.as_str())),
        headers: headers.table(HTTP_HEADERS),
        body_sha256,
        attempt: attempt.ok_or_else(|| malformed(ATTEMPT))?,
        traceparent: headers.text(TRACEPARENT),
        body,
    })
}

/// Makes the best message of one that [`decode`] refused, so that it can be parked under a stable
/// key and looked at: what cannot be read is `unknown`, the id falls back to the body's hash.
#[must_use]
pub fn salvage(properties: &BasicProperties, body: Bytes) -> Message {
    let headers = Headers(properties.headers().as_ref());
    let kind = headers.text(TYPE).unwrap_or_default();
    let (provider, topic) = kind.split_once('.').filter(|_| is_short(&kind)).unwrap_or_default();
    let source = headers.text(SOURCE).unwrap_or_default();
    let body_sha256 = sha256(&body);
    let property_id = properties.message_id().as_ref().map(|id| id.as_str().to_owned());
    let id = headers.text(ID).or(property_id).filter(|id| is_short(id));
    let id = id.unwrap_or_else(|| hex::encode(body_sha256));
    let name = |text: &str| Name::try_from(text).unwrap_or_else(|_not_a_name| Name::unknown());
    Message {
        source: name(source.strip_prefix(SOURCE_PATH).unwrap_or_default()),
        provider: name(provider),
        steering: headers.steering(&id).ok().flatten(),
        id,
        topic: topic.to_owned(),
        received_at: headers
            .text(TIME)
            .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok())
            .unwrap_or_else(OffsetDateTime::now_utc),
        content_type: properties.content_type().as_ref().map(|text| printable(text.as_str())),
        headers: headers.table(HTTP_HEADERS),
        body_sha256,
        attempt: headers.number(ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or_default(),
        traceparent: headers.text(TRACEPARENT),
        body,
    }
}

/// How often a quorum queue has delivered a message before.
#[must_use]
pub fn delivery_count(properties: &BasicProperties) -> i64 {
    Headers(properties.headers().as_ref()).number("x-delivery-count").unwrap_or(0)
}

/// Ids and types are printable and fit into AMQP's short strings: ingest sees to it, and Postgres'
/// text and indexes need it.
fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SHORT_BYTES && !text.chars().any(char::is_control)
}

/// The longest AMQP short string.
const MAX_SHORT_BYTES: usize = 255;

/// A foreign message may hold what Postgres' text does not.
fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

/// Header look-up that takes any of AMQP's spellings of text and whole numbers.
struct Headers<'a>(Option<&'a FieldTable>);

impl Headers<'_> {
    fn value(&self, name: &str) -> Option<&AMQPValue> {
        self.0?.inner().get(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(text)
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            AMQPValue::ShortShortInt(number) => Some((*number).into()),
            AMQPValue::ShortShortUInt(number) => Some((*number).into()),
            AMQPValue::ShortInt(number) => Some((*number).into()),
            AMQPValue::ShortUInt(number) => Some((*number).into()),
            AMQPValue::LongInt(number) => Some((*number).into()),
            AMQPValue::LongUInt(number) => Some((*number).into()),
            AMQPValue::LongLongInt(number) => Some(*number),
            _ => None,
        }
    }

    /// What a person wants with the message of this id, or the header that is not as we write it. An id of a replay
    /// is read only together with what it was made from.
    fn steering(&self, id: &str) -> Result<Option<Steering>, &'static str> {
        let Some(of) = self.text(REPLAY_OF) else {
            if id.starts_with(REPLAY_MARK) {
                return Err(REPLAY_OF);
            }
            return Ok(self.steered_at()?.map(|at| Steering { at, replay: None }));
        };
        let run = self.text(REPLAY_RUN).and_then(|run| Name::try_from(run).ok()).ok_or(REPLAY_RUN)?;
        let mode = self.text(REPLAY_MODE).and_then(|mode| ReplayMode::from_text(&mode)).ok_or(REPLAY_MODE)?;
        let replay = Replay { of, run, mode };
        if replay.id() != id {
            return Err(REPLAY_OF);
        }
        Ok(Some(Steering { at: self.steered_at()?.ok_or(STEERED_AT)?, replay: Some(replay) }))
    }

    fn steered_at(&self) -> Result<Option<OffsetDateTime>, &'static str> {
        let Some(text) = self.text(STEERED_AT) else { return Ok(None) };
        OffsetDateTime::parse(&text, &Rfc3339).map(Some).map_err(|_no_time| STEERED_AT)
    }

    fn table(&self, name: &str) -> Vec<(String, String)> {
        let Some(AMQPValue::FieldTable(table)) = self.value(name) else { return Vec::new() };
        table
            .inner()
            .iter()
            .filter_map(|(name, value)| Some((printable(name.as_str()), printable(&text(value)?))))
            .collect()
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
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
        let properties = encode(&message).unwrap();
        let mut headers = properties.headers().clone().unwrap();
        headers.insert(VERSION_HEADER.into(), AMQPValue::LongInt(99));
        let properties = properties.with_headers(headers);
        let error = decode(&properties, message.body.clone()).unwrap_err();
        assert_eq!(error, DecodeError::Version { found: "99".to_owned() });
        assert_eq!(salvage(&properties, message.body.clone()), message);
    }

    #[test]
    fn a_replay_is_read_only_with_what_its_id_was_made_from() {
        let first = message("w1".to_owned(), "t".to_owned(), b"{}".to_vec(), 0);
        let replay = steered(first, Some(("r1", ReplayMode::Resend)));
        let properties = encode(&replay).unwrap();
        for (header, value) in [(REPLAY_OF, "w2"), (REPLAY_RUN, "r2"), (REPLAY_MODE, "maybe"), (STEERED_AT, "now")] {
            let mut headers = properties.headers().clone().unwrap();
            headers.insert(header.into(), AMQPValue::LongString(value.into()));
            let altered = properties.clone().with_headers(headers);
            let error = decode(&altered, replay.body.clone()).unwrap_err();
            assert!(matches!(error, DecodeError::Header { .. }), "{header}: {error}");
        }
        // The id alone makes no replay, nor an ordinary webhook.
        let bare = encode(&Message { steering: None, ..replay.clone() }).unwrap();
        assert_eq!(decode(&bare, replay.body.clone()).unwrap_err(), DecodeError::Header { header: REPLAY_OF });
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
