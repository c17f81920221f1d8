//! One [`Message`] as bytes, and back.
//!
//! Version 1, all numbers little-endian. A *text* is a `u32` length and as many bytes of UTF-8; an *option* is a
//! byte, 0 or 1, and if 1 the value.
//!
//! | field | form |
//! | --- | --- |
//! | source, provider, id, topic | text |
//! | received at | `i64` Unix seconds, `u32` nanoseconds |
//! | content type, traceparent | option of text |
//! | attempt | `u32` |
//! | headers | `u32` count, then name and value as texts |
//! | SHA-256 of the body | 32 bytes |
//! | body | `u32` length, then as many bytes |
//!
//! Nothing is allocated by a length that was read: fields are slices of what is already in memory.

use bytes::{Buf, Bytes};
use time::{Duration, OffsetDateTime};

use crate::message::{Message, sha256};
use crate::name::Name;

/// Why a message is no record, or bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The message does not fit into a record.
    #[error("the message is too large for a record")]
    TooLarge,
    /// It was put on the queue by a person: the spool is for what providers send.
    #[error("only what a provider sent is spooled")]
    Steered,
    /// The record ends within a field, or goes on after the last one.
    #[error("the record is shorter or longer than its fields say")]
    Length,
    /// A field is not of its form.
    #[error("the record's {0} is malformed")]
    Field(&'static str),
    /// The body is not the one that was received.
    #[error("the record's body does not have the SHA-256 that stands beside it")]
    BodyAltered,
}

/// Appends a message to `out`.
pub(super) fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), RecordError> {
    if message.steering.is_some() {
        return Err(RecordError::Steered);
    }
    for field in [message.source.as_str(), message.provider.as_str(), &message.id, &message.topic] {
        bytes(out, field.as_bytes())?;
    }
    out.extend_from_slice(&message.received_at.unix_timestamp().to_le_bytes());
    out.extend_from_slice(&message.received_at.nanosecond().to_le_bytes());
    for field in [&message.content_type, &message.traceparent] {
        out.push(u8::from(field.is_some()));
        if let Some(text) = field {
            bytes(out, text.as_bytes())?;
        }
    }
    out.extend_from_slice(&message.attempt.to_le_bytes());
    out.extend_from_slice(&length(message.headers.len())?);
    for (name, value) in &message.headers {
        bytes(out, name.as_bytes())?;
        bytes(out, value.as_bytes())?;
    }
    out.extend_from_slice(&message.body_sha256);
    bytes(out, &message.body)
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RecordError> {
    out.extend_from_slice(&length(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(length: usize) -> Result<[u8; 4], RecordError> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(|_too_large| RecordError::TooLarge)
}

/// Reads a message back; its body shares the record's memory.
pub(super) fn decode(record: Bytes) -> Result<Message, RecordError> {
    let mut fields = Fields(record);
    let source = fields.name("source")?;
    let provider = fields.name("provider")?;
    let id = fields.text("id")?;
    let topic = fields.text("topic")?;
    let received_at = fields.time()?;
    let content_type = fields.option("content type")?;
    let traceparent = fields.option("traceparent")?;
    let attempt = fields.number()?;
    let headers = fields.headers()?;
    let expected = fields.take(32)?;
    let length = fields.length()?;
    let body = fields.take(length)?;
    if !fields.0.is_empty() {
        return Err(RecordError::Length);
    }
    let body_sha256 = sha256(&body);
    if expected != body_sha256.as_slice() {
        return Err(RecordError::BodyAltered);
    }
    Ok(Message {
        source,
        provider,
        id,
        topic,
        received_at,
        content_type,
        headers,
        body_sha256,
        attempt,
        traceparent,
        steering: None,
        body,
    })
}

/// What of a record is still to be read.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, length: usize) -> Result<Bytes, RecordError> {
        if length > self.0.len() { Err(RecordError::Length) } else { Ok(self.0.split_to(length)) }
    }

    fn number(&mut self) -> Result<u32, RecordError> {
        Ok(self.take(4)?.get_u32_le())
    }

    fn length(&mut self) -> Result<usize, RecordError> {
        usize::try_from(self.number()?).map_err(|_too_large| RecordError::Length)
    }

    fn text(&mut self, field: &'static str) -> Result<String, RecordError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_not_utf8| RecordError::Field(field))
    }

    fn name(&mut self, field: &'static str) -> Result<Name, RecordError> {
        Name::try_from(self.text(field)?).map_err(|_no_name| RecordError::Field(field))
    }

    fn option(&mut self, field: &'static str) -> Result<Option<String>, RecordError> {
        match self.take(1)?.get_u8() {
            0 => Ok(None),
            1 => self.text(field).map(Some),
            _ => Err(RecordError::Field(field)),
        }
    }

    fn time(&mut self) -> Result<OffsetDateTime, RecordError> {
        const FIELD: RecordError = RecordError::Field("time of receipt");
        let seconds = self.take(8)?.get_i64_le();
        let nanoseconds = self.number()?;
        let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_out_of_range| FIELD)?;
        if nanoseconds >= 1_000_000_000 {
            return Err(FIELD);
        }
        time.checked_add(Duration::nanoseconds(nanoseconds.into())).ok_or(FIELD)
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>, RecordError> {
        let mut headers = Vec::new(); // grows by what is there, not by what the count says
        for _ in 0..self.number()? {
            headers.push((self.text("header")?, self.text("header")?));
        }
        Ok(headers)
    }
}
