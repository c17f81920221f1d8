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
use crate::room;

/// Refuses any content coding: what was signed is not what came.
pub(crate) fn refuse_encoded(headers: &HeaderMap) -> Result<(), Refused> {
    let plain = headers.get_all(header::CONTENT_ENCODING).all(|value| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    });
    if plain { Ok(()) } else { Err(Refused::ContentEncoding) }
}

/// Refuses a body that is announced to be too large, before a byte of it is read.
pub(crate) fn refuse_announced(headers: &HeaderMap, limit_bytes: usize) -> Result<(), Refused> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    match announced.map(usize::try_from) {
        None => Ok(()),
        Some(Ok(bytes)) if bytes <= limit_bytes => Ok(()),
        Some(_) => Err(Refused::TooLarge { limit_bytes }),
    }
}

/// Reads the whole body, at most `limit_bytes`, within `deadline`, as far as there is room.
pub(crate) async fn read(
    mut payload: Payload,
    limit_bytes: usize,
    room: &mut room::Bytes,
    deadline: Duration,
) -> Result<Bytes, Refused> {
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| refused(&error, limit_bytes))?;
            let bytes = body.len().saturating_add(chunk.len());
            if bytes > limit_bytes {
                return Err(Refused::TooLarge { limit_bytes });
            }
            room.grow_to(bytes)?;
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
