//! Who is logged in, asked of Postgres, and remembered for when it is away: the overview is to say so, and not the login.
//!
//! Invariant: a session is taken from memory only where Postgres does not answer, for an hour after it was found there, and
//! never once it is known to have ended. What acts is written down in Postgres first, so nothing is done meanwhile. Not
//! promised: that a session which was ended at another console is known to have ended before Postgres is back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use shared::db::console_sessions::{self, Session};

use crate::server::problem::Problem;

/// For how long a session is remembered since it was found.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// The most that are remembered.
const MAX_SESSIONS: usize = 1_024;

/// SHA-256 of a session's cookie.
pub(crate) type CookieHash = [u8; 32];

/// The sessions that were found.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<CookieHash, (Session, Instant)>>);

impl Sessions {
    /// The session of a cookie, unless it has ended.
    ///
    /// # Errors
    /// When Postgres is away, and the session is not remembered.
    pub(crate) async fn find(&self, pool: &Pool, cookie: &CookieHash) -> Result<Option<Session>, Problem> {
        let asked: Result<_, Problem> = async { Ok(console_sessions::find(&pool.get().await?, cookie).await?) }.await;
        match asked {
            Ok(Some(session)) => {
                self.remember(*cookie, session.clone(), Instant::now());
                Ok(Some(session))
            }
            Ok(None) => {
                self.forget(cookie);
                Ok(None)
            }
            Err(problem) => self.recall(cookie, Instant::now()).map(Some).ok_or(problem),
        }
    }

    /// The session has ended.
    pub(crate) fn forget(&self, cookie: &CookieHash) {
        self.known().remove(cookie);
    }

    fn remember(&self, cookie: CookieHash, session: Session, now: Instant) {
        let mut known = self.known();
        if known.len() >= MAX_SESSIONS && !known.contains_key(&cookie) {
            let oldest =
                known.iter().min_by_key(|(_cookie, (_session, found_at))| *found_at).map(|(cookie, _)| *cookie);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(cookie, (session, now));
    }

    fn recall(&self, cookie: &CookieHash, now: Instant) -> Option<Session> {
        let known = self.known();
        let (session, found_at) = known.get(cookie)?;
        (now.duration_since(*found_at) < REMEMBERED).then(|| session.clone())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<CookieHash, (Session, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        sessions.remember([1; 32], session(), found_at);
        assert_eq!(sessions.recall(&[1; 32], found_at + REMEMBERED - Duration::from_secs(1)), Some(session()));
        assert_eq!(sessions.recall(&[1; 32], found_at + REMEMBERED), None);
        sessions.forget(&[1; 32]);
        assert_eq!(sessions.recall(&[1; 32], found_at), None);
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
            sessions.remember(cookie(n), session(), began + Duration::from_secs(n as u64));
        }
        let now = began + Duration::from_secs(MAX_SESSIONS as u64);
        assert_eq!((sessions.recall(&cookie(0), now), sessions.known().len()), (None, MAX_SESSIONS));
        assert!(sessions.recall(&cookie(1), now).is_some() && sessions.recall(&cookie(MAX_SESSIONS), now).is_some());
    }
}
