//! Who may look, who may act, and what is written down of it.

use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::Value;
use shared::db::parked_webhooks::ParkReason;
use testing::run;
use testing::wait::until;

use super::{Console, OPERATOR, VIEWER, form, json};
use crate::scene::{orders, park};

const PAGES: [&str; 8] = ["/", "/webhooks", "/parked", "/outbox", "/inventory", "/sources", "/audit", "/jobs"];
const LISTS: [&str; 10] = [
    "/overview",
    "/overview/series",
    "/webhooks",
    "/parked",
    "/outbox",
    "/destinations",
    "/inventory",
    "/sources",
    "/audit",
    "/jobs",
];

/// What would do something with any form.
const FIELDS: &[(&str, &str)] = &[
    ("key", "shopify/w1"),
    ("do", "discard"),
    ("because", "x"),
    ("run", "do"),
    ("effect", "order-confirmation"),
    ("sku", "MUG"),
    ("quantity", "7"),
];

/// The paths that a file of the console's routes takes a POST at.
fn posts(file: &str) -> Vec<String> {
    let source = std::fs::read_to_string(format!("{}/src/server/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let routes = source.lines().filter(|line| line.contains("web::post()"));
    let path = |line: &str| line.split_once(".route(\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    routes.map(path).collect()
}

/// Where forms go that do something.
fn forms_that_act() -> Vec<String> {
    let all = posts("application.rs").into_iter().filter(|path| path != "/login" && path != "/logout");
    let all: Vec<String> = all.map(|path| path.replace("{id}", "1")).collect();
    assert!(all.len() > 5, "{all:?}");
    all
}

/// What the API does, all of it, each with a document that would do it.
fn actions_of_the_api() -> Vec<(String, Value)> {
    let of = |path: &str| match path {
        "/parked/discard" => {
            serde_json::json!({ "webhooks": [{ "source": "shopify", "webhook_id": "w1" }], "because": "x" })
        }
        "/parked/redrive" => serde_json::json!({ "filter": {} }),
        "/replays" => serde_json::json!({ "source": "shopify", "webhook_id": "w1" }),
        "/inventory" => serde_json::json!({ "sku": "MUG", "quantity": 7 }),
        "/outbox/resend" | "/outbox/hold" | "/outbox/cancel" => serde_json::json!({ "ids": [1] }),
        "/destinations/{effect}/pause" => serde_json::json!({ "because": "x" }),
        "/destinations/{effect}/resume" | "/jobs/{id}/stop" => serde_json::json!({}),
        other => panic!("there is no document for {other}"),
    };
    let documents = posts("api.rs").into_iter().map(|path| {
        let document = of(&path);
        (path.replace("{effect}", "order-confirmation").replace("{id}", "1"), document)
    });
    documents.collect()
}

/// Whether nothing but scripts of ours runs in a page, and in no frame of another's.
#[track_caller]
fn assert_is_strict(page: &Response) {
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    let url = page.url();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{url}: {policy}");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{url}: {policy}");
    assert_eq!(page.headers()["x-frame-options"], "DENY", "{url}");
}

#[tokio::test]
async fn without_a_token_there_is_the_login_and_nothing_else() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        for page in PAGES {
            let answer = console.get(page).send().await.unwrap();
            assert_eq!(answer.status(), 303, "{page}");
            assert!(answer.headers()[LOCATION].to_str().unwrap().starts_with("/login"), "{page}");
        }
        let lists = LISTS.map(|list| console.get(&format!("/api/v1{list}")));
        // Ten wrong tokens a minute are answered.
        let wrong = ["/overview", "/inventory"].map(|list| console.get(&format!("/api/v1{list}")).bearer_auth("wrong"));
        for request in lists.into_iter().chain(wrong) {
            let answer = request.send().await.unwrap();
            let list = answer.url().path().to_owned();
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{list}");
            let problem = json(answer, 401).await;
            assert_eq!(problem["type"], "urn:oncehook:problem:unauthenticated", "{list}");
        }
        console.api("/sources").await;
        assert_is_strict(&console.get("/login").send().await.unwrap());
        assert_eq!(console.get("/api/docs/").send().await.unwrap().status(), 401);
    })
    .await;
}

#[tokio::test]
async fn every_page_and_list_answers_who_shows_a_token() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        for list in LISTS {
            console.api(list).await;
        }
        let description = console.api("/openapi.json").await;
        assert!(description["paths"]["/api/v1/parked/redrive"]["post"].is_object());
        let browser = console.log_in(OPERATOR).await;
        for page in PAGES {
            assert_is_strict(&console.get(page).header(COOKIE, &browser.cookie).send().await.unwrap());
            let text = browser.page(page).await;
            assert!(!text.contains("<script>") && !text.contains(" style=") && !text.contains(" onclick="), "{page}");
            assert!(text.contains("<main id=\"main\""), "{page}");
            assert_eq!(text.contains("aria-current=\"page\""), page != "/jobs", "{page}: it is in the navigation");
        }
        // The browser's session reads the API, too: the charts do.
        let answer = console.get("/api/v1/overview").header(COOKIE, &browser.cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(browser.page("/api/docs/").await.contains("swagger-ui"));
        // Not there is a page, too.
        for path in ["/nowhere", "/jobs/7", "/webhooks/shopify/nobody-sent-it"] {
            let answer = console.get(path).header(COOKIE, &browser.cookie).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
            assert_is_strict(&answer);
        }
        for asset in text_between(&browser.page("/").await, "src=\"", "\"") {
            assert_eq!(console.get(&asset).send().await.unwrap().status(), 200, "{asset}");
        }
        let answer = browser.form("/logout", &[]).send().await.unwrap();
        assert_eq!(answer.headers()[LOCATION], "/login");
        assert_eq!(console.get("/").header(COOKIE, &browser.cookie).send().await.unwrap().status(), 303);
    })
    .await;
}

/// A part that a page loads by itself: the login is a page, and no part of one.
#[tokio::test]
async fn a_page_whose_session_has_ended_goes_to_the_login_as_a_whole() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let part = |cookie: &str, url: &str| {
            let request = console.get("/overview/now").header(COOKIE, cookie).header("hx-request", "true");
            request.header("hx-current-url", url.to_owned()).send()
        };
        assert_eq!(part(&browser.cookie, "http://here/").await.unwrap().status(), 200);
        browser.form("/logout", &[]).send().await.unwrap();
        for (url, next) in [
            ("http://here/parked?reason=plan&after=x", "/login?next=%2Fparked%3Freason%3Dplan%26after%3Dx"),
            ("http://here//evil.example/", "/login?next=%2F"),
            ("nonsense", "/login?next=%2F"),
        ] {
            let answer = part(&browser.cookie, url).await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.headers()["hx-redirect"].to_str().unwrap()), (401, next));
            assert_eq!(answer.text().await.unwrap(), "");
        }
    })
    .await;
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(VIEWER).await;
        let page = browser.page("/parked").await;
        assert!(page.contains("w1") && !page.contains("Redrive") && !page.contains("name=\"run\""), "{page}");
        let page = browser.page("/inventory").await;
        assert!(!page.contains("name=\"quantity\"") && page.contains("No SKU is in stock yet"), "{page}");
        for path in forms_that_act() {
            let form = browser.form(&path, &[FIELDS, &[("csrf", browser.csrf.as_str())]].concat());
            assert_eq!(form.send().await.unwrap().status(), 403, "{path}");
        }
        for (path, body) in actions_of_the_api() {
            let request = console.post(&format!("/api/v1{path}")).bearer_auth(VIEWER).json(&body);
            let problem = json(request.send().await.unwrap(), 403).await;
            assert_eq!(problem["type"], "urn:oncehook:problem:forbidden", "{path}");
        }
        assert_eq!(stack.database.number("SELECT count(*) FROM parked_webhooks WHERE state = 'parked'").await, 1);
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit WHERE action <> 'login'").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    run(async |stack| {
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let with_token = [FIELDS, &[("csrf", browser.csrf.as_str())]].concat();
        for path in forms_that_act() {
            let forged = [
                browser.form(&path, FIELDS),
                browser.form(&path, &[FIELDS, &[("csrf", "guessed")]].concat()),
                browser.form(&path, &with_token).header("origin", "https://evil.example"),
                browser.form(&path, &with_token).header("sec-fetch-site", "cross-site"),
            ];
            for request in forged {
                assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
            }
        }
        for (path, body) in actions_of_the_api() {
            let by_cookie = console.post(&format!("/api/v1{path}")).header(COOKIE, &browser.cookie).json(&body);
            assert_eq!(by_cookie.send().await.unwrap().status(), 403, "{path}");
        }
        let login = form(console.post("/login").header("origin", "https://evil.example"), &[("token", OPERATOR)]);
        assert_eq!(login.send().await.unwrap().status(), 403);
        let logout = browser.form("/logout", &[]).header("sec-fetch-site", "cross-site");
        assert_eq!(logout.send().await.unwrap().status(), 403);
        assert!(browser.page("/").await.contains("Log out"), "and still logged in");
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit WHERE action <> 'login'").await, 0);
        assert_eq!(stack.database.number("SELECT count(*) FROM parked_webhooks WHERE state = 'parked'").await, 1);
    })
    .await;
}

#[tokio::test]
async fn wrong_tokens_are_limited_even_at_once_and_the_first_is_written_down() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let wrong = || form(console.post("/login"), &[("token", "wrong"), ("person", "Mallory")]).send();
        let answers = futures_util::future::join_all((0..40).map(|_| wrong())).await;
        let mut answers: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
        answers.sort_unstable();
        assert_eq!(answers, [[401; 10].to_vec(), [429; 30].to_vec()].concat());
        assert_eq!(wrong().await.unwrap().status(), 429);
        let refused =
            "SELECT count(*) FROM console_audit WHERE action = 'login' AND outcome = 'refused' AND person = 'Mallory'";
        assert_eq!(stack.database.number(refused).await, 1);
    })
    .await;
}

#[tokio::test]
async fn the_first_start_prints_a_token_once_and_keeps_its_hash() {
    run(async |stack| {
        let mut first = Console::start_with(&stack, &[]).await;
        let mut printed = String::new();
        let token = loop {
            let line = first.stdout.next_line().await.unwrap().unwrap();
            printed += &line;
            if let Some(token) = line.trim().strip_prefix("oncehook_") {
                break format!("oncehook_{token}");
            }
        };
        assert_eq!(first.get("/api/v1/sources").bearer_auth(&token).send().await.unwrap().status(), 200, "{printed}");
        drop(first);
        let mut second = Console::start_with(&stack, &[]).await;
        assert_eq!(second.get("/api/v1/sources").bearer_auth(&token).send().await.unwrap().status(), 200);
        second._child.start_kill().unwrap();
        assert_eq!(second.stdout.next_line().await.unwrap(), None, "it is printed once");
        // A configured token takes its place.
        let third = Console::start(&stack).await;
        assert_eq!(third.get("/api/v1/sources").bearer_auth(&token).send().await.unwrap().status(), 401);
        let dump =
            stack.database.number("SELECT count(*) FROM console_tokens WHERE octet_length(token_sha256) = 32").await;
        assert_eq!(dump, 1);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_is_secure_behind_tls() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let cookie = browser.cookie.clone();
        let login = console.post("/login").header("x-forwarded-proto", "https");
        let answer = form(login, &[("token", OPERATOR)]).send().await.unwrap();
        assert!(answer.headers()[SET_COOKIE].to_str().unwrap().contains("Secure"));
        let other = Console::start_with(&stack, &[("CONSOLE_OPERATOR_TOKEN", "another-token-for-operators")]).await;
        assert_eq!(other.get("/").header(COOKIE, &cookie).send().await.unwrap().status(), 303);
        for ended in ["used_at = now() - interval '13 hours'", "created_at = now() - interval '169 hours'"] {
            let cookie = console.log_in(OPERATOR).await.cookie.clone();
            stack.database.execute(&format!("UPDATE console_sessions SET {ended}")).await;
            until("the session has ended", || async {
                let answer = console.get("/").header(COOKIE, &cookie).send().await.unwrap();
                (answer.status() == 303).then_some(())
            })
            .await;
        }
    })
    .await;
}

/// Where something fails, above all: that is when addresses are told.
#[tokio::test]
async fn no_page_and_no_list_shows_a_secret_and_tokens_come_from_files() {
    run(async |stack| {
        let file = stack.directory.join("token");
        std::fs::write(&file, format!("{OPERATOR}\n")).unwrap();
        park(&stack, &orders(&stack, 1), ParkReason::Plan).await;
        let password = url::Url::parse(&stack.database.url).unwrap().password().unwrap().to_owned();
        let environment = [
            ("CONSOLE_OPERATOR_TOKEN_FILE", file.to_str().unwrap()),
            ("AMQP_URL", "amqp://me:hunter2@127.0.0.1:1/%2f"),
            ("INGEST_OPS_URL", "http://me:hunter2@127.0.0.1:1"),
            ("WORKER_OPS_URL", "http://me:hunter2@127.0.0.1:1"),
            ("RABBITMQ_METRICS_URL", "http://me:hunter2@127.0.0.1:1"),
            ("SHOPIFY_WEBHOOK_SECRET", "hunter2"),
        ];
        let console = Console::start_with(&stack, &environment).await;
        let browser = console.log_in(OPERATOR).await;
        until("the broker's silence is told", || async {
            console.api("/overview").await["concerns"].to_string().contains("RabbitMQ: ").then_some(())
        })
        .await;
        stack.database.execute("ALTER TABLE outbox RENAME TO away").await;
        until("the database's failure is told", || async {
            console.api("/overview").await["concerns"].to_string().contains("Postgres: ").then_some(())
        })
        .await;
        let pages = PAGES.map(str::to_owned).into_iter();
        let lists = LISTS.map(|list| format!("/api/v1{list}"));
        for path in pages.chain(lists).chain(["/webhooks/shopify/w1".to_owned(), "/nowhere".to_owned()]) {
            let text = console.get(&path).header(COOKIE, &browser.cookie).send().await.unwrap().text().await.unwrap();
            for secret in ["hunter2", OPERATOR, &password] {
                assert!(!text.contains(secret), "{path}: {text}");
            }
        }
    })
    .await;
}

fn text_between(text: &str, begin: &str, end: &str) -> Vec<String> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).map(str::to_owned).collect()
}
