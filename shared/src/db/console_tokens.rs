//! `console_tokens`: tokens that a console made up for want of configured ones, as hashes.

use deadpool_postgres::Client;
use serde::Serialize;
use tokio_postgres::Error;
use tokio_postgres::types::{FromSql, Type, accepts};

const KEEP: &str = "INSERT INTO console_tokens (token_sha256, role) VALUES ($1, $2) ON CONFLICT DO NOTHING";

const LIST: &str = "SELECT token_sha256, role FROM console_tokens ORDER BY role";

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look.
    Viewer,
    /// To act, too.
    Operator,
}

/// Whether a token was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is valid from now on.
    Kept,
    /// The role has one already; this one is worth nothing.
    HasOne,
}

/// Keeps a made-up token's hash, unless its role has one: of several that try at once, one succeeds.
///
/// # Errors
/// When the statement fails.
pub async fn keep(client: &Client, token_sha256: &[u8], role: Role) -> Result<Kept, Error> {
    let kept = client.execute(KEEP, &[&token_sha256, &role.as_str()]).await?;
    Ok(if kept == 1 { Kept::Kept } else { Kept::HasOne })
}

/// All hashes that are kept.
///
/// # Errors
/// When the statement fails.
pub async fn list(client: &Client) -> Result<Vec<(Vec<u8>, Role)>, Error> {
    let rows = client.query(LIST, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("token_sha256")?, row.try_get("role")?))).collect()
}

impl Role {
    /// As the column says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl<'a> FromSql<'a> for Role {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = <&str>::from_sql(kind, raw)?;
        let known = [Self::Viewer, Self::Operator].into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("there is no role {text:?} in this version").into())
    }

    accepts!(TEXT);
}
