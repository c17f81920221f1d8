//! `oncehook verify` of bent requests: it says what is wrong, and by the reason that a running ingest counts for the same
//! request. It shows neither a secret nor a signature that would be valid.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use shared::provider::Catalogue;
use shared::verification::{Outgoing, Signer};
use time::{Duration, OffsetDateTime};

use crate::receiver::{Receiver, run, written};
use crate::scene::text;

const FORMER: &str = "the-former-secret-of-the-source";
const OURS: &str = "the-present-secret-of-the-source";
const ENDED: &str = "a-secret-whose-time-is-over";
const BODY: &str = r#"{"id":"evt_1","type":"charge.refunded"}"#;

/// A request, what is said of it, and why ingest refuses it.
struct Case {
    source: &'static str,
    headers: Vec<(String, String)>,
    body: &'static str,
    /// The reason; `None` if it is genuine.
    reason: Option<&'static str>,
    /// What is said, in so many words.
    said: &'static str,
}

fn configuration(folder: &Path) -> String {
    let file = |name: &str, secret: &str| format!("{{ file = {:?} }}", written(folder, name, secret));
    let (former, ours) = (file("former", FORMER), file("ours", OURS));
    let ended = file("ended", ENDED).replace(" }", ", not_after = 2020-01-01T00:00:00Z }");
    ["github", "stripe"]
        .map(|provider| {
            format!("[sources.{provider}]\nprovider = \"{provider}\"\nsecrets = [{former}, {ours}, {ended}]\n")
        })
        .concat()
}

/// The headers of a request as the provider (which is the source's name, too) sends it.
fn signed(provider: &str, secret: &str, body: &str, sent_before_s: i64) -> Vec<(String, String)> {
    let catalogue = Catalogue::built_in().unwrap();
    let signer = Signer::new(catalogue.get(provider).unwrap(), SecretString::from(secret)).unwrap();
    let at = OffsetDateTime::now_utc() - Duration::seconds(sent_before_s);
    signer.sign(Outgoing { id: "1", topic: "push", body: body.as_bytes(), at }).unwrap().headers
}

/// GitHub's request with its signature changed.
fn bent(change: impl Fn(&str) -> Vec<String>) -> Vec<(String, String)> {
    let mut headers = signed("github", OURS, BODY, 0);
    let position = headers.iter().position(|(name, _)| name == "X-Hub-Signature-256").unwrap();
    let (name, value) = headers.remove(position);
    headers.extend(change(&value).into_iter().map(|value| (name.clone(), value)));
    headers
}

fn in_base64(signature: &str) -> Vec<String> {
    let bytes = hex::decode(signature.strip_prefix("sha256=").unwrap()).unwrap();
    vec![format!("sha256={}", STANDARD.encode(bytes))]
}

fn cases() -> Vec<Case> {
    let github = |headers, body, reason, said| Case { source: "github", headers, body, reason, said };
    let stripe = |headers, reason, said| Case { source: "stripe", headers, body: BODY, reason, said };
    let sent = |secret| signed("github", secret, BODY, 0);
    let longer = concat!(r#"{"id":"evt_1","type":"charge.refunded"}"#, "\n");
    let other = r#"{"id":"evt_2","type":"charge.refunded"}"#;
    let spaced = r#"{ "id": "evt_1", "type": "charge.refunded" }"#;
    vec![
        github(sent(OURS), BODY, None, "secret 2 matches"),
        stripe(signed("stripe", FORMER, BODY, 2), None, "secret 1 matches"),
        github(sent(ENDED), BODY, Some("secret_expired"), "secret 3 made this signature, and its not_after is over"),
        github(sent("of-somebody-else"), BODY, Some("no_secret_matched"), "altered, or signed with another secret"),
        github(sent(OURS), other, Some("no_secret_matched"), "altered, or signed with another secret"),
        github(sent(OURS), longer, Some("no_secret_matched"), "white space at its end was added"),
        github(sent(OURS), spaced, Some("no_secret_matched"), "its JSON was written with spaces"),
        github(bent(|_| vec![]), BODY, Some("signature_missing"), "no header carries a signature"),
        github(bent(|_| vec![String::new()]), BODY, Some("signature_empty"), "the signature's header is empty"),
        github(bent(|whole| vec![whole.to_owned(); 2]), BODY, Some("header_twice"), "was given more than once"),
        github(bent(in_base64), BODY, Some("signature_encoding"), "it looks like base64"),
        stripe(signed("stripe", OURS, BODY, 400), Some("timestamp_too_old"), " s before the time of receipt"),
        stripe(signed("stripe", OURS, BODY, -400), Some("timestamp_too_new"), " s after the time of receipt"),
    ]
}

/// What must not be shown of any request: secrets, and what would pass.
fn unspeakable() -> Vec<String> {
    let bodies = cases().into_iter().map(|case| case.body);
    let valid = bodies.flat_map(|body| [FORMER, OURS].map(|secret| signed("github", secret, body, 0)));
    let valid = valid.flat_map(|headers| headers.into_iter().filter(|(name, _)| name == "X-Hub-Signature-256"));
    let valid = valid.map(|(_, value)| value.trim_start_matches("sha256=").to_owned());
    valid.chain([FORMER, OURS, ENDED].map(str::to_owned)).collect()
}

impl Case {
    async fn explained(&self, receiver: &Receiver, output: &str) -> Output {
        let head: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (headers, body) =
            (written(&receiver.folder, "headers", &head), written(&receiver.folder, "body", self.body));
        let (headers, body) = (headers.display().to_string(), body.display().to_string());
        let arguments = ["--output", output, "verify", "--source", self.source, "--headers", &headers, "--body", &body];
        receiver.oncehook(&arguments).await
    }

    async fn posted(&self, receiver: &Receiver) -> u16 {
        let url = format!("{}/webhooks/{}", receiver.url, self.source);
        let mut request = reqwest::Client::new().post(url).body(self.body);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_as_ingest_counts_it_and_nothing_secret_is() {
    let unspeakable = unspeakable();
    run(configuration, async |receiver| {
        let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for case in cases() {
            let (shown, json) = (case.explained(receiver, "table").await, case.explained(receiver, "json").await);
            let verdict: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
            assert_eq!(verdict["reason"].as_str(), case.reason, "{verdict}");
            assert_eq!(shown.status.code(), Some(if case.reason.is_some() { 3 } else { 0 }));
            for output in [&shown, &json] {
                let all = text(&output.stdout) + &text(&output.stderr);
                assert!(all.contains(case.said), "{all} does not say {}", case.said);
                assert!(!unspeakable.iter().any(|secret| all.contains(secret)), "{all}");
            }
            assert_eq!(case.posted(receiver).await, if case.reason.is_some() { 401 } else { 200 }, "{verdict}");
            if let Some(reason) = case.reason {
                *counts.entry((case.source, reason)).or_default() += 1;
            }
        }
        let metrics = receiver.metrics().await;
        for ((source, reason), count) in counts {
            let line = format!("webhook_verification_failures_total{{source={source:?},reason={reason:?}}} {count}\n");
            assert!(metrics.contains(&line), "{line} is not in {metrics}");
        }
        assert!(!unspeakable.iter().any(|secret| metrics.contains(secret)));
    })
    .await;
}
