//! `console_audit`: what people did, in the console and by commands.
//!
//! An action is written down before it is begun, and its outcome when it is known. What stays `begun` was cut off:
//! what it did until then is to be seen where it acted.

use deadpool_postgres::Client;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::{Error, Row};

const BEGIN: &str = "
    INSERT INTO console_audit (person, role, via, peer, action, subject, request, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, 'begun')
    RETURNING id";

const FINISH: &str = "
    UPDATE console_audit SET outcome = $2, detail = $3, finished_at = now() WHERE id = $1 AND outcome = 'begun'";

/// Without requests, which may name a thousand webhooks each.
const PAGE: &str = "
    SELECT id, at, person, role, via, peer, action, subject, outcome, detail, finished_at
    FROM console_audit
    WHERE ($1::int8 IS NULL OR id < $1)
    ORDER BY id DESC
    LIMIT $2";

const FIND: &str = "
    SELECT id, at, person, role, via, peer, action, subject, outcome, detail, finished_at, request
    FROM console_audit
    WHERE id = $1";

/// Who does something, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who the person said to be.
    pub person: String,
    /// What the token allows; `none` before a login.
    pub role: &'static str,
    /// `browser`, `api` or `terminal`.
    pub via: &'static str,
    /// The address of the other end of the connection; for a command, the name of its machine.
    pub peer: String,
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing<'d> {
    /// Such as `parked.redrive`.
    pub action: &'static str,
    /// To what, in short.
    pub subject: &'d str,
    /// What was asked for, in full.
    pub request: &'d Value,
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// Nothing was done.
    Refused,
    /// It may have been done in part.
    Failed,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditRow {
    /// The row's number.
    pub id: i64,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who did it.
    pub person: String,
    /// What the token allowed.
    pub role: String,
    /// `browser`, `api` or `terminal`.
    pub via: String,
    /// The address of the other end of the connection; for a command, the name of its machine.
    pub peer: String,
    /// What was done.
    pub action: String,
    /// To what, in short.
    pub subject: String,
    /// `begun`, `done`, `refused` or `failed`.
    pub outcome: String,
    /// What came of it.
    pub detail: String,
    /// When its outcome was known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// One action, in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// What a list says of it.
    #[serde(flatten)]
    pub row: AuditRow,
    /// What was asked for: each id that was picked out, or the filter; what was accepted, why, how fast.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub request: Value,
}

/// Writes down what is about to be done; returns the row's number.
///
/// # Errors
/// When the statement fails; then it must not be done.
pub async fn begin(client: &Client, actor: &Actor, doing: &Doing<'_>) -> Result<i64, Error> {
    let (person, subject) = (super::storable(&actor.person), super::storable(doing.subject));
    let request = super::json(&without_nul(doing.request));
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&person, &actor.role, &actor.via, &actor.peer, &doing.action, &subject, &request];
    client.query_one(&client.prepare_cached(BEGIN).await?, &values).await?.try_get("id")
}

/// Postgres' JSON holds no NUL; no request is an empty one.
fn without_nul(value: &Value) -> Value {
    match value {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(values) => Value::Array(values.iter().map(without_nul).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_name, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name.clone(), without_nul(value))).collect())
        }
        Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Notes what came of it.
///
/// # Errors
/// When the statement fails; then its end is not known.
pub async fn finish(client: &Client, id: i64, outcome: Outcome, detail: &str) -> Result<(), Error> {
    let statement = client.prepare_cached(FINISH).await?;
    client.execute(&statement, &[&id, &outcome.as_str(), &super::storable(detail)]).await?;
    Ok(())
}

/// Actions before `before`, the latest first, at most `limit`.
///
/// # Errors
/// When the statement fails.
pub async fn page(client: &Client, before: Option<i64>, limit: i64) -> Result<Vec<AuditRow>, Error> {
    let rows = client.query(&client.prepare_cached(PAGE).await?, &[&before, &limit]).await?;
    rows.iter().map(AuditRow::read).collect()
}

/// One action, in full.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, id: i64) -> Result<Option<AuditEntry>, Error> {
    let row = client.query_opt(&client.prepare_cached(FIND).await?, &[&id]).await?;
    let entry = |row: Row| Ok(AuditEntry { row: AuditRow::read(&row)?, request: row.try_get("request")? });
    row.map(entry).transpose()
}

impl Outcome {
    /// As the column says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl AuditRow {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            person: row.try_get("person")?,
            role: row.try_get("role")?,
            via: row.try_get("via")?,
            peer: row.try_get("peer")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            outcome: row.try_get("outcome")?,
            detail: row.try_get("detail")?,
            finished_at: row.try_get("finished_at")?,
        })
    }
}
