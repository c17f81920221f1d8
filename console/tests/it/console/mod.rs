//! `oncehook console` by HTTP, on real services: pages, API, access, and what is done.

mod access;
mod audit;
mod effects;
mod inventory;
mod ladder;
mod outbox;
mod overview;
mod parked;
mod webhooks;

use std::process::Stdio;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use testing::Stack;
use testing::wait::until;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::scene::command;

pub(crate) const OPERATOR: &str = "operator-token-of-this-test";
pub(crate) const VIEWER: &str = "viewer-token-of-this-test";

/// A running console.
pub(crate) struct Console {
    url: String,
    ops_url: String,
    client: Client,
    stdout: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

/// A browser that is logged in.
pub(crate) struct Browser<'c> {
    console: &'c Console,
    cookie: String,
    csrf: String,
}

impl Console {
    /// With a token for each role.
    pub(crate) async fn start(stack: &Stack) -> Self {
        let tokens = [("CONSOLE_OPERATOR_TOKEN", OPERATOR), ("CONSOLE_VIEWER_TOKEN", VIEWER)];
        Self::start_with(stack, &tokens).await
    }

    pub(crate) async fn start_with(stack: &Stack, environment: &[(&str, &str)]) -> Self {
        let mut child = command(stack, &["console", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let (address, ops_address) = loop {
            let line = log.next_line().await.unwrap().unwrap_or_else(|| panic!("the console ended: {said}"));
            said += &line;
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            if let (Some(address), Some(ops)) = (line["address"].as_str(), line["ops_address"].as_str()) {
                break (address.to_owned(), ops.to_owned());
            }
        };
        tokio::spawn(async move { while log.next_line().await.is_ok_and(|line| line.is_some()) {} });
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        let (url, ops_url) = (format!("http://{address}"), format!("http://{ops_address}"));
        Self { url, ops_url, client, stdout, _child: child }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// Waits until `/readyz` answers so, and returns what it says.
    pub(crate) async fn readiness(&self, status: u16) -> Value {
        until("the console is as ready as that", || async {
            let answer = self.client.get(format!("{}/readyz", self.ops_url)).send().await.unwrap();
            let found = answer.status();
            let text = answer.json().await.unwrap();
            (found == status).then_some(text)
        })
        .await
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        self.client.get(format!("{}/metrics", self.ops_url)).send().await.unwrap().text().await.unwrap()
    }

    /// Asks the API as an operator.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1{path}")).bearer_auth(OPERATOR).send().await.unwrap();
        json(answer, 200).await
    }

    /// Has the API do something, as an operator.
    pub(crate) async fn act(&self, path: &str, body: Value, status: u16) -> Value {
        let request = self.post(&format!("/api/v1{path}")).bearer_auth(OPERATOR).header("x-oncehook-actor", "ada");
        json(request.json(&body).send().await.unwrap(), status).await
    }

    /// Waits for a job's end and returns it.
    pub(crate) async fn job(&self, job: &Value) -> Value {
        self.job_at(&format!("/jobs/{}", job["id"])).await
    }

    /// The same, by the address of its page.
    pub(crate) async fn job_at(&self, path: &str) -> Value {
        assert!(path.starts_with("/jobs/"), "{path}");
        until("the job has ended", || async {
            let job = self.api(path).await;
            (job["state"] != "running").then_some(job)
        })
        .await
    }

    pub(crate) async fn log_in(&self, token: &str) -> Browser<'_> {
        let fields = [("token", token), ("person", "Ada"), ("next", "/parked")];
        let answer = form(self.post("/login"), &fields).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        assert_eq!(answer.headers()[LOCATION], "/parked");
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut browser = Browser { console: self, cookie, csrf: String::new() };
        let page = browser.page("/").await;
        browser.csrf = page.split("data-csrf=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser
    }
}

impl Browser<'_> {
    /// A page that is there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.console.get(path).header(COOKIE, &self.cookie).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        form(self.console.post(path).header(COOKIE, &self.cookie), fields)
    }

    /// Submits a form of a page of ours; where it leads.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let fields = [fields, &[("csrf", self.csrf.as_str())]].concat();
        let answer = self.form(path, &fields).header("sec-fetch-site", "same-origin").send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        assert_eq!(status, 303, "{}", answer.text().await.unwrap());
        headers[LOCATION].to_str().unwrap().to_owned()
    }
}

pub(crate) async fn json(answer: Response, status: u16) -> Value {
    let (found, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(found, status, "{text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// A form as a browser sends it.
pub(crate) fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}
