//! Who is logged in, asked of Postgres, and remembered for when it does not answer: the overview is to say so, and not the
//! login.
//!
//! Invariant: a session is taken from memory only where Postgres did not answer, for an hour after it was found there, and not
//! once this console knows that it has ended; and whoever is taken from memory may look and not act
//! ([`super::Caller::may_act`]). Not promised: that a session which was ended at another console is known to have ended before
//! Postgres answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use shared::db::answer_within;
use shared::db::console_sessions::{self, Session};

use crate::server::problem::Problem;

/// For how long a session is remembered since it was found.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// The most that are remembered.
const MAX_SESSIONS: usize = 1_024;

/// SHA-256 of a session's cookie.
pub(crate) type CookieHash = [u8; 32];

/// How long Postgres may take to be connected to, and again to say who is logged in: together less than a page waits
/// (`timeout` of its htmx-config).
const PATIENCE: Duration = Duration::from_secs(2);

/// The sessions that were found.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    found: HashMap<CookieHash, (Session, Instant)>,
    /// How many have ended here: what was asked before one did is not remembered.
    ended: u64,
}

/// Where a session was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// In Postgres, now.
    Valid(Session),
    /// In memory: Postgres does not answer.
    Remembered(Session),
}

impl Sessions {
    /// The session of a cookie, unless it has ended.
    ///
    /// # Errors
    /// When Postgres does not answer, and the session is not remembered.
    pub(crate) async fn find(&self, pool: &Pool, cookie: &CookieHash) -> Result<Option<Found>, Problem> {
        let ended = self.known().ended;
        match ask(pool, cookie).await {
            Ok(Some(session)) => {
                self.remember(*cookie, session.clone(), (ended, Instant::now()));
                Ok(Some(Found::Valid(session)))
            }
            Ok(None) => {
                self.forget(cookie);
                Ok(None)
            }
            Err(problem) => {
                self.recall(cookie, Instant::now()).map(|session| Some(Found::Remembered(session))).ok_or(problem)
            }
        }
    }

    /// The session has ended.
    pub(crate) fn forget(&self, cookie: &CookieHash) {
        let mut known = self.known();
        known.found.remove(cookie);
        known.ended += 1;
    }

    fn remember(&self, cookie: CookieHash, session: Session, (ended, now): (u64, Instant)) {
        let mut known = self.known();
        if known.ended != ended {
            return;
        }
        let known = &mut known.found;
        if known.len() >= MAX_SESSIONS && !known.contains_key(&cookie) {
            let oldest =
                known.iter().min_by_key(|(_cookie, (_session, found_at))| *found_at).map(|(cookie, _)| *cookie);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(cookie, (session, now));
    }

    fn recall(&self, cookie: &CookieHash, now: Instant) -> Option<Session> {
        let known = self.known();
        let (session, found_at) = known.found.get(cookie)?;
        (now.duration_since(*found_at) < REMEMBERED).then(|| session.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On a connection that leaves its pool when it is silent.
async fn ask(pool: &Pool, cookie: &CookieHash) -> Result<Option<Session>, Problem> {
    let connected = tokio::time::timeout(PATIENCE, pool.get()).await;
    let client = connected.map_err(|_elapsed| Problem::Unavailable)??;
    let asked = answer_within(PATIENCE, client, async |client| console_sessions::find(client, cookie).await).await;
    Ok(asked.map_err(|_silent| Problem::Unavailable)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session { token_sha256: vec![1], person: "ada".to_owned() }
    }

    #[test]
    fn a_session_is_remembered_for_an_hour_and_not_once_it_has_ended() {
        let (sessions, found_at) = (Sessions::default(), Instant::now());
        assert_eq!(sessions.recall(&[1; 32], found_at), None);
        sessions.remember([1; 32], session(), (0, found_at));
        assert_eq!(sessions.recall(&[1; 32], found_at + REMEMBERED - Duration::from_secs(1)), Some(session()));
        assert_eq!(sessions.recall(&[1; 32], found_at + REMEMBERED), None);
        sessions.forget(&[1; 32]);
        assert_eq!(sessions.recall(&[1; 32], found_at), None);
        sessions.remember([1; 32], session(), (0, found_at));
        assert_eq!(sessions.recall(&[1; 32], found_at), None, "it was asked for before it ended");
    }

    #[test]
    fn of_too_many_the_one_that_was_found_first_is_forgotten() {
        let (sessions, began) = (Sessions::default(), Instant::now());
        let cookie = |n: usize| {
            let mut cookie = [0; 32];
            cookie[..8].copy_from_slice(&n.to_be_bytes());
            cookie
        };
        for n in 0..=MAX_SESSIONS {
            sessions.remember(cookie(n), session(), (0, began + Duration::from_secs(n as u64)));
        }
        let now = began + Duration::from_secs(MAX_SESSIONS as u64);
        assert_eq!((sessions.recall(&cookie(0), now), sessions.known().found.len()), (None, MAX_SESSIONS));
        assert!(sessions.recall(&cookie(1), now).is_some() && sessions.recall(&cookie(MAX_SESSIONS), now).is_some());
    }
}
