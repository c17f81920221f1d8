//! A page of parked webhooks, and where the next one begins.

use std::str::FromStr;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::parked_webhooks::rows::{self, ParkedCursor, ParkedFilter, ParkedRow};
use shared::db::processed_webhooks::WebhookKey;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output::{Shown, printable, table};
use crate::paging;

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    parked: Vec<ParkedRow>,
    /// What `--after` is told for the next page; `null` when this was the last one.
    next: Option<After>,
}

/// Where a page begins: TIME/SOURCE/ID of the last row before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) struct After(pub(crate) ParkedCursor);

/// A text that is no beginning of a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give what the page before said")]
pub(crate) struct NotAfter;

/// Up to `limit` rows, the first parked first.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn list(
    client: &Client,
    filter: &ParkedFilter,
    after: Option<&After>,
    limit: u32,
) -> anyhow::Result<Page> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = rows::page(client, filter, after.map(|after| &after.0), paging::one_more(limit)).await;
    let mut parked = read.context("cannot read the parked webhooks")?;
    let has_next = paging::cut(&mut parked, limit);
    let next = parked.last().filter(|_| has_next).map(|row| After(row.cursor()));
    Ok(Page { parked, next })
}

impl From<After> for String {
    fn from(After(cursor): After) -> Self {
        let parked_at = cursor.parked_at.format(&Rfc3339).unwrap_or_default();
        format!("{parked_at}/{}/{}", cursor.key.source, cursor.key.webhook_id)
    }
}

impl FromStr for After {
    type Err = NotAfter;

    fn from_str(text: &str) -> Result<Self, NotAfter> {
        let mut parts = text.splitn(3, '/'); // an id may have slashes
        let (Some(time), Some(source), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotAfter);
        };
        let parked_at = OffsetDateTime::parse(time, &Rfc3339).map_err(|_no_time| NotAfter)?;
        let key = WebhookKey { source: source.to_owned(), webhook_id: id.to_owned() };
        Ok(Self(ParkedCursor { parked_at, key }))
    }
}

impl Shown for Page {
    fn text(&self) -> String {
        if self.parked.is_empty() {
            return "no webhook is parked\n".to_owned();
        }
        let row = |row: &ParkedRow| {
            [
                row.key.source.clone(),
                row.key.webhook_id.clone(),
                row.topic.clone(),
                row.reason.to_string(),
                row.state.as_str().to_owned(),
                row.parked_at.format(&Rfc3339).unwrap_or_default(),
                row.detail.clone(),
            ]
            .map(|cell| printable(&cell))
        };
        let head = ["SOURCE", "ID", "TOPIC", "REASON", "STATE", "PARKED", "DETAIL"];
        let mut text = table(head, self.parked.iter().map(row));
        if let Some(next) = &self.next {
            text += &format!("more: --after '{}'\n", printable(&String::from(next.clone())));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_page_is_written_and_read_back() {
        let text = "2026-11-23T17:00:00.123456Z/shopify/gid://shopify/Order/1";
        let after: After = text.parse().unwrap();
        assert_eq!(after.0.key.webhook_id, "gid://shopify/Order/1");
        assert_eq!(String::from(after), text);
        for bad in ["", "w1", "2026-11-23T17:00:00Z/shopify", "yesterday/shopify/w1"] {
            assert!(bad.parse::<After>().is_err(), "{bad}");
        }
    }
}
