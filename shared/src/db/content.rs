//! What a provider sent, as `parked_webhooks` and `webhook_payloads` keep it: the same four columns.

use std::collections::BTreeMap;

use tokio_postgres::types::Json;
use tokio_postgres::{Error, Row};

/// What a provider sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The body's media type.
    pub content_type: Option<String>,
    /// The headers worth keeping.
    pub headers: BTreeMap<String, String>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The W3C trace id that it came with or was given: 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl Content {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(headers) = row.try_get("headers")?;
        Ok(Self {
            content_type: row.try_get("content_type")?,
            headers,
            body: row.try_get("body")?,
            trace_id: row.try_get("trace_id")?,
        })
    }
}
