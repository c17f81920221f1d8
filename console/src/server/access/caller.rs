//! Who is calling, told from a request: by a bearer token, or by the cookie of a session.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use shared::db::console_audit::Actor;
use shared::db::console_tokens::Role;
use shared::message::sha256;

use super::csrf::{CsrfToken, is_from_elsewhere};
use super::sessions::Found;
use crate::server::problem::Problem;
use crate::server::state::Console;

/// The cookie of a session.
pub(crate) const COOKIE: &str = "oncehook_session";
/// How the API's callers may name themselves in the audit.
const ACTOR_HEADER: &str = "x-oncehook-actor";
/// Where scripts of ours repeat the token that forms repeat in a field.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";
/// The longest name of a person, in characters.
pub(crate) const MAX_PERSON_CHARS: usize = 64;

/// Somebody with a valid token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) role: Role,
    /// Who they say to be.
    pub(crate) person: String,
    peer: IpAddr,
    door: Door,
    /// Whether Postgres could not be asked if the session has ended.
    is_remembered: bool,
}

/// Which way a caller came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// With a bearer token, which no browser sends by itself.
    Bearer,
    /// With a session's cookie.
    Session(CsrfToken),
}

impl Caller {
    /// Whether a request of this caller may act; `repeated` is the form's token.
    ///
    /// # Errors
    /// [`Problem::CrossSite`] when the page may not have been ours, [`Problem::Forbidden`] for a viewer, and
    /// [`Problem::Unavailable`] when it is not known whether the session has ended.
    pub(crate) fn may_act(&self, request: &HttpRequest, repeated: Option<&str>) -> Result<(), Problem> {
        if let Door::Session(token) = &self.door {
            let in_header = request.headers().get(CSRF_HEADER).and_then(|value| value.to_str().ok());
            let repeats = repeated.or(in_header).is_some_and(|repeated| token.is_repeated_by(repeated));
            if is_from_elsewhere(request) || !repeats {
                return Err(Problem::CrossSite);
            }
        }
        match self.role {
            Role::Operator if self.is_remembered => Err(Problem::Unavailable),
            Role::Operator => Ok(()),
            Role::Viewer => Err(Problem::Forbidden),
        }
    }

    /// What the page's forms repeat; empty for the API.
    pub(crate) fn csrf(&self) -> &str {
        match &self.door {
            Door::Bearer => "",
            Door::Session(token) => token.as_str(),
        }
    }

    /// For the audit.
    pub(crate) fn actor(&self) -> Actor {
        let via = match self.door {
            Door::Bearer => "api",
            Door::Session(_) => "browser",
        };
        Actor { person: self.person.clone(), role: self.role.as_str(), via, peer: self.peer.to_string() }
    }

    async fn tell(request: HttpRequest) -> Result<Self, Problem> {
        let console = request.app_data::<web::Data<Console>>().ok_or(Problem::NotFound)?;
        let peer = peer(&request);
        if let Some(token) = bearer(request.headers()) {
            if !console.attempts.may_try(peer) {
                console.metrics.too_many_tokens();
                return Err(Problem::TooManyAttempts);
            }
            let Some(role) = console.tokens.role(token) else {
                console.metrics.wrong_token();
                let may_try = console.attempts.wrong(peer);
                return Err(if may_try { Problem::Unauthenticated } else { Problem::TooManyAttempts });
            };
            let person = request.headers().get(ACTOR_HEADER).and_then(|name| name.to_str().ok());
            let person = person.map_or_else(|| "api".to_owned(), named);
            return Ok(Self { role, person, peer, door: Door::Bearer, is_remembered: false });
        }
        let cookie = cookie(&request).ok_or(Problem::Unauthenticated)?;
        let found = console.sessions.find(&console.pool, &sha256(cookie.as_bytes())).await?;
        let (session, is_remembered) = match found.ok_or(Problem::Unauthenticated)? {
            Found::Valid(session) => (session, false),
            Found::Remembered(session) => (session, true),
        };
        // What the token was worth at the login does not count.
        let role = console.tokens.role_of_hash(&session.token_sha256).ok_or(Problem::Unauthenticated)?;
        Ok(Self { role, person: session.person, peer, door: Door::Session(CsrfToken::of(&cookie)), is_remembered })
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        Box::pin(Self::tell(request.clone()))
    }
}

/// The session's cookie, if there is one.
pub(crate) fn cookie(request: &HttpRequest) -> Option<String> {
    let headers = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|header| header.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _value)| *name == COOKIE).map(|(_name, value)| value.to_owned())
}

/// The address of the other end; behind a proxy of ours, that of the proxy's other end, as it says.
pub(crate) fn peer(request: &HttpRequest) -> IpAddr {
    let proxies = request.app_data::<web::Data<Console>>().map(|console| console.proxies.as_slice());
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    behind(peer, proxies.unwrap_or_default(), request.headers())
}

/// Each proxy adds whom it speaks with at the end of `X-Forwarded-For`. What stands before the last word of a proxy of ours
/// may be anybody's.
fn behind(peer: IpAddr, proxies: &[IpAddr], headers: &HeaderMap) -> IpAddr {
    let said = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let said: Vec<&str> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut peer = peer;
    for word in said.into_iter().rev() {
        let Some(next) = proxies.contains(&peer).then(|| word.parse().ok()).flatten() else { break };
        peer = next;
    }
    peer
}

/// A person's name as it is kept: short, and without control characters.
pub(crate) fn named(text: &str) -> String {
    let name: String = text.trim().chars().filter(|char| !char.is_control()).take(MAX_PERSON_CHARS).collect();
    if name.is_empty() { "somebody".to_owned() } else { name }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::without_a_proxy("203.0.113.9", &["1.1.1.1"], "203.0.113.9")]
    #[case::behind_ours("10.0.0.1", &["203.0.113.9"], "203.0.113.9")]
    #[case::what_a_client_made_up("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9")]
    #[case::behind_two_of_ours("10.0.0.1", &["1.1.1.1, 203.0.113.9", "10.0.0.2"], "203.0.113.9")]
    #[case::ours_that_says_nothing("10.0.0.1", &[], "10.0.0.1")]
    #[case::no_address("10.0.0.1", &["unknown"], "10.0.0.1")]
    fn only_proxies_of_ours_are_believed(#[case] peer: &str, #[case] said: &[&str], #[case] expected: &str) {
        let proxies = ["10.0.0.1", "10.0.0.2"].map(|proxy| proxy.parse().unwrap());
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(header::HeaderName::from_static("x-forwarded-for"), value.parse().unwrap());
        }
        assert_eq!(behind(peer.parse().unwrap(), &proxies, &headers).to_string(), expected);
    }
}
