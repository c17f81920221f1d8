//! The raw body, byte for byte: bounded in size and time, never decompressed.
//!
//! The signature is over exactly these bytes. Memory grows with what has arrived, not with what was announced.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::refused::Refused;

/// Room made at first; most webhooks fit.
const FIRST_BYTES: usize = 16 * 1024;

/// Refuses any content coding: what was signed is not what came.
pub(crate) fn refuse_encoded(headers: &HeaderMap) -> Result<(), Refused> {
    let plain = headers.get_all(header::CONTENT_ENCODING).all(|value| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    });
    if plain { Ok(()) } else { Err(Refused::ContentEncoding) }
}

/// How many bytes to expect: as announced, or as many as are allowed. Refuses a body that is announced to be too
/// large, before a byte of it is read.
pub(crate) fn expected_bytes(headers: &HeaderMap, limit_bytes: usize) -> Result<usize, Refused> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let Some(announced) = announced else { return Ok(limit_bytes) };
    match usize::try_from(announced) {
        Ok(bytes) if bytes <= limit_bytes => Ok(bytes),
        _ => Err(Refused::TooLarge { limit_bytes }),
    }
}

/// Reads the whole body, at most `limit_bytes`, within `deadline`.
pub(crate) async fn read(mut payload: Payload, limit_bytes: usize, deadline: Duration) -> Result<Bytes, Refused> {
    let reading = async {
        let mut body = BytesMut::with_capacity(FIRST_BYTES.min(limit_bytes));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| refused(&error, limit_bytes))?;
            if body.len().saturating_add(chunk.len()) > limit_bytes {
                return Err(Refused::TooLarge { limit_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(deadline, reading).await.unwrap_or(Err(Refused::TooSlow))
}

fn refused(error: &PayloadError, limit_bytes: usize) -> Refused {
    match error {
        PayloadError::Overflow => Refused::TooLarge { limit_bytes },
        _ => Refused::BrokenBody,
    }
}
