//! `console_sessions`: browsers that are logged in, as hashes of their cookies.
//!
//! A session names the token that it began with and has no rights of its own: whoever looks one up asks what that
//! token is worth now. So a token that is no longer configured takes its sessions with it.

use deadpool_postgres::Client;
use tokio_postgres::Error;

const BEGIN: &str = "
    INSERT INTO console_sessions (session_sha256, token_sha256, person) VALUES ($1, $2, $3)";

/// Half a day without use, or a week altogether, ends a session. When it was used is noted to the minute.
const FIND: &str = "
    WITH used AS (
        UPDATE console_sessions SET used_at = now()
        WHERE session_sha256 = $1 AND used_at < now() - interval '1 minute'
          AND used_at > now() - interval '12 hours' AND created_at > now() - interval '7 days')
    SELECT token_sha256, person FROM console_sessions
    WHERE session_sha256 = $1 AND used_at > now() - interval '12 hours' AND created_at > now() - interval '7 days'";

const END: &str = "DELETE FROM console_sessions WHERE session_sha256 = $1";

const PURGE: &str = "
    DELETE FROM console_sessions
    WHERE used_at < now() - interval '12 hours' OR created_at < now() - interval '7 days'";

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token it began with.
    pub token_sha256: Vec<u8>,
    /// Who the person said to be.
    pub person: String,
}

/// Begins a session, and forgets those that have ended.
///
/// # Errors
/// When a statement fails.
pub async fn begin(client: &Client, session_sha256: &[u8], session: &Session) -> Result<(), Error> {
    client.execute(PURGE, &[]).await?;
    client.execute(BEGIN, &[&session_sha256, &session.token_sha256, &session.person]).await?;
    Ok(())
}

/// The session of a cookie, unless it has ended.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, session_sha256: &[u8]) -> Result<Option<Session>, Error> {
    let row = client.query_opt(&client.prepare_cached(FIND).await?, &[&session_sha256]).await?;
    row.map(|row| Ok(Session { token_sha256: row.try_get("token_sha256")?, person: row.try_get("person")? }))
        .transpose()
}

/// Ends a session.
///
/// # Errors
/// When the statement fails.
pub async fn end(client: &Client, session_sha256: &[u8]) -> Result<(), Error> {
    client.execute(END, &[&session_sha256]).await?;
    Ok(())
}
