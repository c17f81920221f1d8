//! What is fetched and what is refused, from a real server over TLS. The tests' authority takes the place of the machine's.

use testing::authority::{Authority, Issued, Wanted};
use testing::https::{Https, Reply};

use super::*;

const SUFFIX: &str = ".paypal.com";
const SIGNER: &str = "messageverificationcerts.paypal.com";

/// A fetcher that trusts this authority alone, with its store.
fn fetcher(authority: &Authority) -> (Fetcher, Certificates) {
    let (mut roots, store) = (RootCertStore::empty(), Certificates::default());
    roots.add(authority.certificate().der().clone()).unwrap();
    (Fetcher::trusting(roots, store.clone()).unwrap(), store)
}

/// One fetch by a fetcher of its own: whether it was fetched, and whether the store then has it.
async fn fetched(authority: &Authority, url: &str) -> Result<(), NotFetched> {
    let (fetcher, store) = fetcher(authority);
    let outcome = fetcher.fetch(url, SUFFIX).await;
    assert_eq!(store.get(url).is_some(), outcome.is_ok());
    outcome
}

fn file(issued: &Issued) -> Reply {
    Reply::Body(issued.certificate.pem())
}

async fn server(identity: &Issued, replies: impl IntoIterator<Item = (&str, Reply)>) -> Https {
    Https::start(identity, replies.into_iter().map(|(path, reply)| (path.to_owned(), reply)).collect()).await
}

#[tokio::test]
async fn a_certificate_counts_if_an_authority_vouches_for_it_now_and_it_is_the_providers() {
    let (authority, other) = (Authority::new(), Authority::new());
    let lesser = authority.intermediate();
    let by_lesser = lesser.issue(Wanted::now(SIGNER));
    let chain = format!("{}{}", by_lesser.certificate.pem(), lesser.certificate().pem());
    let good = authority.issue(Wanted::now(SIGNER));
    let refused = [
        ("/by-another-authority", file(&other.issue(Wanted::now(SIGNER)))),
        ("/ended", file(&authority.issue(Wanted { until_days: -1, from_days: -30, name: SIGNER }))),
        ("/not-begun", file(&authority.issue(Wanted { from_days: 1, ..Wanted::now(SIGNER) }))),
        ("/another-name", file(&authority.issue(Wanted::now("messageverificationcerts.paypal.com.example.org")))),
        ("/a-link-is-missing", file(&by_lesser)),
        ("/of-an-authority", Reply::Body(authority.certificate().pem())),
        ("/no-certificate", Reply::Body("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned())),
        ("/empty", Reply::Body(String::new())),
        ("/too-many", Reply::Body(good.certificate.pem().repeat(9))),
        ("/too-large", Reply::Body(format!("{}{}", good.certificate.pem(), " ".repeat(MAX_CERTIFICATE_BYTES)))),
    ];
    let paths: Vec<&str> = refused.iter().map(|(path, _)| *path).collect();
    let replies = refused.into_iter().chain([("/good", file(&good)), ("/chain", Reply::Body(chain))]);
    let https = server(&authority.issue(Wanted::now("localhost")), replies).await;
    let url = |path: &str| format!("https://localhost:{}{path}", https.port);
    for path in ["/good", "/chain"] {
        assert_eq!(fetched(&authority, &url(path)).await, Ok(()), "{path}");
    }
    for path in paths {
        assert_eq!(fetched(&authority, &url(path)).await, Err(NotFetched::Unusable), "{path}");
    }
}

#[tokio::test]
async fn answers_that_lead_elsewhere_or_do_not_come_are_none() {
    let authority = Authority::new();
    let elsewhere = server(&authority.issue(Wanted::now("localhost")), []).await;
    let to = format!("https://localhost:{}/stolen", elsewhere.port);
    let replies = [("/led-away", Reply::Redirect(to)), ("/silent", Reply::Silence), ("/broken-off", Reply::BreaksOff)];
    let https = server(&authority.issue(Wanted::now("localhost")), replies).await;
    for path in ["/led-away", "/silent", "/broken-off", "/nothing-there"] {
        let started = Instant::now();
        let url = format!("https://localhost:{}{path}", https.port);
        assert_eq!(fetched(&authority, &url).await, Err(NotFetched::Unreachable), "{path}");
        assert!(started.elapsed() < 20 * DEADLINE, "{path} took {:?}", started.elapsed());
    }
    assert_eq!(https.asked(), ["/led-away", "/silent", "/broken-off", "/nothing-there"]);
    assert!(elsewhere.asked().is_empty(), "nobody is followed");
}

#[tokio::test]
async fn a_host_that_cannot_show_who_it_is_is_asked_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.issue(Wanted::now(SIGNER));
    let impostors = [
        authority.issue(Wanted::now("other.example.org")),
        other.issue(Wanted::now("localhost")),
        authority.issue(Wanted { until_days: -1, from_days: -30, name: "localhost" }),
    ];
    for impostor in impostors {
        let https = server(&impostor, [("/good", file(&good))]).await;
        let url = format!("https://localhost:{}/good", https.port);
        assert_eq!(fetched(&authority, &url).await, Err(NotFetched::Unreachable));
        assert!(https.asked().is_empty());
    }
}

#[tokio::test]
async fn what_is_known_is_not_asked_for_again_and_what_is_kept_is_bounded() {
    let authority = Authority::new();
    let good = authority.issue(Wanted::now(SIGNER));
    let https = server(&authority.issue(Wanted::now("localhost")), [("/good", file(&good))]).await;
    let (url, (fetcher, store)) = (format!("https://localhost:{}/good", https.port), fetcher(&authority));
    assert_eq!(fetcher.fetch(&url, SUFFIX).await, Ok(()));
    assert_eq!(fetcher.fetch(&url, SUFFIX).await, Ok(()));
    assert_eq!(https.asked(), ["/good"]);
    let certificate = store.get(&url).unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("https://a.example/{number}")).collect();
    for name in &names {
        store.insert(name.clone(), certificate.clone());
    }
    let kept = names.iter().chain([&url]).filter(|name| store.get(name).is_some()).count();
    assert_eq!(kept, 16);
}

#[test]
fn fetches_are_apart_and_failures_are_remembered() {
    let (mut state, start) = (State::default(), Instant::now());
    let after = |ms| start + Duration::from_millis(ms);
    assert_eq!(state.admit("a", after(0)), Ok(()));
    assert_eq!(state.admit("b", after(999)), Err(NotFetched::Busy));
    state.remember("a", NotFetched::Unreachable, after(1000));
    assert_eq!(state.admit("a", after(2000)), Err(NotFetched::FailedBefore));
    assert_eq!(state.admit("b", after(2000)), Ok(()));
    assert_eq!(state.admit("a", after(61_000)), Ok(()));
}

#[test]
fn memory_does_not_grow_with_the_urls_that_strangers_name() {
    let (mut state, now) = (State::default(), Instant::now());
    for number in 0..10 * MAX_FAILURES {
        state.remember(&number.to_string(), NotFetched::Unreachable, now);
    }
    assert_eq!(state.failures.len(), MAX_FAILURES);
    state.remember("later", NotFetched::Unreachable, now + FAILED_FOR);
    assert_eq!(state.failures.len(), 1);
}

#[tokio::test]
async fn nothing_but_https_is_asked() {
    let url = "http://127.0.0.1:1/x";
    assert_eq!(fetched(&Authority::new(), url).await, Err(NotFetched::Unreachable));
}
