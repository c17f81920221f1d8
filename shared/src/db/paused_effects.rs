//! `paused_effects`: effects that no worker begins to send until a person resumes them.
//!
//! The lease of the outbox passes their rows over ([`super::outbox::lease`]); sends that had begun are finished. A worker
//! that leases at the same moment may still begin one round.

use deadpool_postgres::Client;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::Error;

const PAUSE: &str = "
    INSERT INTO paused_effects (effect, paused_by, because) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const RESUME: &str = "DELETE FROM paused_effects WHERE effect = $1";

const LIST: &str = "SELECT effect, paused_by, because, paused_at FROM paused_effects ORDER BY effect";

/// A paused effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PausedEffect {
    /// The configured effect.
    pub effect: String,
    /// Who paused it.
    pub paused_by: String,
    /// Why.
    pub because: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub paused_at: OffsetDateTime,
}

/// What pausing or resuming found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is so from now on.
    Changed,
    /// It was so already.
    WasSo,
}

/// Pauses an effect.
///
/// # Errors
/// When the statement fails.
pub async fn pause(client: &Client, effect: &str, paused_by: &str, because: &str) -> Result<Change, Error> {
    let (paused_by, because) = (super::storable(paused_by), super::storable(because));
    change(client.execute(PAUSE, &[&effect, &paused_by, &because]).await?)
}

/// Resumes an effect: its rows that are due are sent at once.
///
/// # Errors
/// When the statement fails.
pub async fn resume(client: &Client, effect: &str) -> Result<Change, Error> {
    change(client.execute(RESUME, &[&effect]).await?)
}

/// All that are paused.
///
/// # Errors
/// When the statement fails.
pub async fn list(client: &Client) -> Result<Vec<PausedEffect>, Error> {
    let rows = client.query(&client.prepare_cached(LIST).await?, &[]).await?;
    rows.iter()
        .map(|row| {
            let (effect, paused_by) = (row.try_get("effect")?, row.try_get("paused_by")?);
            Ok(PausedEffect {
                effect,
                paused_by,
                because: row.try_get("because")?,
                paused_at: row.try_get("paused_at")?,
            })
        })
        .collect()
}

fn change(rows: u64) -> Result<Change, Error> {
    Ok(if rows == 1 { Change::Changed } else { Change::WasSo })
}
