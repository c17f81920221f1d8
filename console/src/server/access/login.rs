//! The login: a token is shown once, and the browser gets a session for it.

use std::net::IpAddr;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use shared::db::console_audit::{self, Actor, Doing, Outcome};
use shared::db::console_sessions::{self, Session};
use shared::message::sha256;

use super::Caller;
use super::caller::{COOKIE, cookie, named, peer};
use super::csrf::is_from_elsewhere;
use super::sessions::CookieHash;
use super::tokens::random_text;
use crate::server::page::{self, AssetPaths};
use crate::server::problem::Problem;
use crate::server::state::{Console, Shared};

/// A week, in seconds: the cookie goes when no session can be left.
const COOKIE_AGE_S: u32 = 7 * 86_400;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'p> {
    assets: AssetPaths,
    next: &'p str,
    person: &'p str,
    problem: Option<String>,
}

/// Where to go behind the login.
#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

/// What the form says.
#[derive(Deserialize)]
pub(crate) struct LoginForm {
    token: String,
    #[serde(default)]
    person: String,
    #[serde(default)]
    next: String,
}

/// Sends somebody to the login, and back here behind it.
pub(crate) fn ask(request: &HttpRequest) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // A part that a page loads by itself (https://htmx.org/reference/#request_headers): the page goes, and comes back whole.
    if header("hx-request").is_some() {
        let page = header("hx-current-url").and_then(|url| url::Url::parse(url).ok());
        let next = page.map_or_else(|| "/".to_owned(), |page| page[url::Position::BeforePath..].to_owned());
        return HttpResponse::Unauthorized().insert_header(("HX-Redirect", to(ours(&next)))).finish();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // What acts is not to be repeated behind the login.
    let next = if request.method() == actix_web::http::Method::GET { path } else { "/" };
    page::see(&to(next))
}

/// The login that leads to a page.
fn to(next: &str) -> String {
    format!("/login{}", page::query(&[("next", next)]))
}

/// `GET /login`.
pub(crate) async fn form(next: web::Query<Next>) -> Result<HttpResponse, Problem> {
    page::html(&LoginPage { assets: AssetPaths, next: ours(&next.next), person: "", problem: None })
}

/// `POST /login`.
pub(crate) async fn login(
    request: HttpRequest,
    console: Shared,
    form: web::Form<LoginForm>,
) -> Result<HttpResponse, Problem> {
    if is_from_elsewhere(&request) {
        return Err(Problem::CrossSite);
    }
    let (address, person) = (peer(&request), named(&form.person));
    if !console.attempts.may_try(address) {
        console.metrics.too_many_tokens();
        return again(&form, &Problem::TooManyAttempts);
    }
    let token = form.token.trim();
    let role = console.tokens.role(token);
    let actor =
        Actor { person, role: role.map_or("none", |role| role.as_str()), via: "browser", peer: address.to_string() };
    if role.is_none() {
        let problem = refuse(&console, &actor, address).await?;
        return again(&form, &problem);
    }
    let cookie = random_text().map_err(|_no_randomness| Problem::Unavailable)?;
    let client = console.database().await?;
    let audit = console_audit::begin(&client, &actor, &doing("login")).await?;
    let session = Session { token_sha256: sha256(token.as_bytes()).to_vec(), person: actor.person };
    console_sessions::begin(&client, &sha256(cookie.as_bytes()), &session).await?;
    console_audit::finish(&client, audit, Outcome::Done, "").await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::SET_COOKIE, set_cookie(&request, &cookie, COOKIE_AGE_S)))
        .insert_header((header::LOCATION, ours(&form.next)))
        .finish())
}

/// Counts a wrong token, and writes the first of an address and a minute down: guesses in their thousands fill no table.
async fn refuse(console: &Console, actor: &Actor, address: IpAddr) -> Result<Problem, Problem> {
    console.metrics.wrong_token();
    if !console.attempts.wrong(address) {
        return Ok(Problem::TooManyAttempts);
    }
    if console.attempts.is_first_told(address) {
        let told = tell(console, actor).await;
        if told.is_err() {
            // The next one is the first, then.
            console.attempts.was_not_told(address);
        }
        told?;
    }
    Ok(Problem::Unauthenticated)
}

async fn tell(console: &Console, actor: &Actor) -> Result<(), Problem> {
    let client = console.database().await?;
    let audit = console_audit::begin(&client, actor, &doing("login")).await?;
    Ok(console_audit::finish(&client, audit, Outcome::Refused, "the token is not valid").await?)
}

/// `POST /logout`. A viewer may log out, too, so this is no `Submitted`; and so may whose session has ended by itself, which
/// is nobody's doing.
pub(crate) async fn logout(
    request: HttpRequest,
    console: Shared,
    caller: Result<Caller, Problem>,
) -> Result<HttpResponse, Problem> {
    if is_from_elsewhere(&request) {
        return Err(Problem::CrossSite);
    }
    // Whatever becomes of the session in Postgres, this browser has none any more.
    if let Some(cookie) = cookie(&request)
        && let Err(problem) = end(&console, caller.ok().as_ref(), &sha256(cookie.as_bytes())).await
    {
        tracing::error!(%problem, "a session that was to end lasts until its time is over");
    }
    Ok(HttpResponse::SeeOther()
        .insert_header((header::SET_COOKIE, set_cookie(&request, "", 0)))
        .insert_header((header::LOCATION, "/login"))
        .finish())
}

async fn end(console: &Console, caller: Option<&Caller>, cookie: &CookieHash) -> Result<(), Problem> {
    console.sessions.forget(cookie);
    let client = console.database().await?;
    let audit = match caller {
        Some(caller) => Some(console_audit::begin(&client, &caller.actor(), &doing("logout")).await?),
        None => None,
    };
    console_sessions::end(&client, cookie).await?;
    if let Some(audit) = audit {
        console_audit::finish(&client, audit, Outcome::Done, "").await?;
    }
    Ok(())
}

/// A login or a logout, for the audit.
fn doing(action: &'static str) -> Doing<'static> {
    Doing { action, subject: "", request: &serde_json::Value::Null }
}

fn again(form: &LoginForm, problem: &Problem) -> Result<HttpResponse, Problem> {
    let page = LoginPage {
        assets: AssetPaths,
        next: ours(&form.next),
        person: form.person.trim(),
        problem: Some(match problem {
            Problem::Unauthenticated => "This token is not valid.".to_owned(),
            other => other.to_string(),
        }),
    };
    let mut response = page::html(&page)?;
    *response.status_mut() = actix_web::ResponseError::status_code(problem);
    Ok(response)
}

/// A path of ours; anything else is the first page.
fn ours(next: &str) -> &str {
    let ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if ours { next } else { "/" }
}

/// Behind TLS, which a proxy in front of us tells of, the cookie is sent over TLS only.
fn set_cookie(request: &HttpRequest, value: &str, age_s: u32) -> String {
    let proto = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let secure = if proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_leads_to_pages_of_ours_only() {
        for path in ["/", "/webhooks?source=shop&q=1"] {
            assert_eq!(ours(path), path);
        }
        for elsewhere in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nset-cookie: x", "/\t/evil"]
        {
            assert_eq!(ours(elsewhere), "/");
        }
    }
}
