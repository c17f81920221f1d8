//! What AMQP properties and headers hold, read as what we keep: any client may have written them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

/// How often a quorum queue has delivered a message before.
#[must_use]
pub fn delivery_count(properties: &BasicProperties) -> i64 {
    number(properties, "x-delivery-count").unwrap_or(0)
}

/// A header that is a whole number, in any of AMQP's spellings.
pub(super) fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    match value(properties, name)? {
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

/// The id, if it is one that is kept.
pub(super) fn message_id(properties: &BasicProperties) -> Option<&str> {
    properties.message_id().as_ref().map(ShortString::as_str).filter(|id| is_printable(id))
}

/// Provider and topic.
pub(super) fn kind(properties: &BasicProperties) -> Option<(&str, &str)> {
    properties.kind().as_ref().map(ShortString::as_str).filter(|kind| is_printable(kind))?.split_once('.')
}

pub(super) fn content_type(properties: &BasicProperties) -> Option<String> {
    properties.content_type().as_ref().map(|text| printable(text.as_str()))
}

/// Ids and types are printable: ingest sees to it, and Postgres' text needs it.
fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// A foreign message may hold what Postgres' text does not.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

pub(super) fn value<'p>(properties: &'p BasicProperties, name: &str) -> Option<&'p AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

pub(super) fn header<'p>(properties: &'p BasicProperties, name: &str) -> Option<&'p [u8]> {
    bytes(value(properties, name)?)
}

pub(super) fn bytes(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::ShortString(text) => Some(text.as_str().as_bytes()),
        _ => None,
    }
}

pub(super) fn header_text(properties: &BasicProperties, name: &str) -> Option<String> {
    header(properties, name).and_then(|text| String::from_utf8(text.to_vec()).ok())
}
