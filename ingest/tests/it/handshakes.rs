//! Requests that are no webhooks: answered as the provider wants it, verified first, and kept nowhere. And the answers that
//! providers want to webhooks.

use aws_lc_rs::hmac;
use secrecy::SecretString;
use shared::provider::Catalogue;
use shared::verification::{Outgoing, Signer};
use time::OffsetDateTime;

use crate::harness::{Answer, Ingest, folder_file, run};

/// Discord's signing key in PKCS #8, made for this test, and the public key in hex.
const DISCORD_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
const DISCORD_PUBLIC: &str = "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664";

/// Configures sources of these providers, each with a secret of its own.
fn sources(secrets: &[(&str, &str)]) -> String {
    let source = |(provider, secret): &(&str, &str)| {
        let file = folder_file(provider, secret);
        format!("[sources.{provider}]\nprovider = \"{provider}\"\nsecrets = [{{ file = {file:?} }}]\n")
    };
    secrets.iter().map(source).collect()
}

async fn send(ingest: &Ingest, provider: &str, secret: &str, body: &str) -> Answer {
    let catalogue = Catalogue::built_in().unwrap();
    let provider = catalogue.get(provider).unwrap();
    let signer = Signer::new(provider, SecretString::from(secret)).unwrap();
    let outgoing = Outgoing { id: "", topic: "", body: body.as_bytes(), at: OffsetDateTime::now_utc() };
    let signed = signer.sign(outgoing).unwrap();
    let mut request = format!("POST /webhooks/{} HTTP/1.1\r\nhost: test\r\n", provider.name());
    for (name, value) in &signed.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", signed.body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(&signed.body);
    ingest.send(&request).await
}

#[tokio::test]
async fn slack_zoom_and_discord_are_answered_their_challenges() {
    let extra = sources(&[("slack", "hush-slack"), ("zoom", "hush-zoom"), ("discord", DISCORD_PUBLIC)]);
    run(&extra, async |ingest| {
        let challenge = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let answer = send(ingest, "slack", "hush-slack", challenge).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"));
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(send(ingest, "slack", "another", challenge).await.status, 401);

        let challenge = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
        let answer = send(ingest, "zoom", "hush-zoom", challenge).await;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hush-zoom"), b"qgg8vlvZRS6UYooatFL8Aw");
        let expected = serde_json::json!({ "plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hex(tag.as_ref()) });
        assert_eq!((answer.status, answer.json()), (200, expected));

        let answer = send(ingest, "discord", DISCORD_PRIVATE, r#"{"type":1,"id":"1"}"#).await;
        assert_eq!((answer.status, answer.json()), (200, serde_json::json!({ "type": 1 })));
        let forged = b"POST /webhooks/discord HTTP/1.1\r\nhost: test\r\nX-Signature-Ed25519: 00\r\nX-Signature-Timestamp: 1\r\ncontent-length: 10\r\n\r\n{\"type\":1}";
        assert_eq!(ingest.send(forged).await.status, 401);

        ingest.counted("webhook_requests_total{source=\"zoom\",outcome=\"handshake\"} 1").await;
        assert!(ingest.broker.is_empty().await, "no handshake is kept");
    })
    .await;
}

#[tokio::test]
async fn meta_is_answered_its_challenge_by_the_token_alone() {
    let token = folder_file("meta-token", "meaty ham & hock");
    let extra = format!("{}verify_token = {{ file = {token:?} }}\n", sources(&[("meta", "hush-meta")]));
    run(&extra, async |ingest| {
        let get = async |source: &str, query: &str| {
            ingest.send(format!("GET /webhooks/{source}?{query} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await
        };
        let right = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meaty%20ham%20%26%20hock";
        let answer = get("meta", right).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "1158201444"));
        assert_eq!(get("meta", &right.replace("meaty", "other")).await.status, 401);
        assert_eq!(get("meta", &right.replace("1158201444", "%3Cscript%3E")).await.status, 401);
        assert_eq!(get("meta", &format!("{right}&hub.verify_token=other")).await.status, 401);
        assert_eq!(get("meta", "").await.status, 401);
        assert_eq!(get("github", right).await.status, 405);
        assert_eq!(get("nobody", right).await.status, 405);
    })
    .await;
}

#[tokio::test]
async fn xero_and_adyen_are_answered_as_they_want() {
    let adyen_key = "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056";
    run(&sources(&[("xero", "hush-xero"), ("adyen", adyen_key)]), async |ingest| {
        // Intent to receive: rightly signed 200, wrongly signed 401, and never a body.
        let intent = r#"{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}"#;
        let answer = send(ingest, "xero", "hush-xero", intent).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        let answer = send(ingest, "xero", "another", intent).await;
        assert_eq!((answer.status, answer.body.as_str(), answer.headers.get("content-type")), (401, "", None));
        assert_eq!(answer.headers["content-length"], "0");
        let catalogue = Catalogue::built_in().unwrap();
        let sample = catalogue.get("adyen").unwrap().samples().remove(0).body;
        let answer = send(ingest, "adyen", adyen_key, &sample).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[accepted]"));
    })
    .await;
}

#[tokio::test]
async fn a_secret_may_end_and_its_use_is_told_by_its_position() {
    let (old, new) = (folder_file("old", "hush-old"), folder_file("new", "hush-new"));
    let extra = format!(
        "[sources.razorpay]\nprovider = \"razorpay\"\nsecrets = [{{ file = {old:?}, not_after = 2020-01-01T00:00:00Z }}, {{ file = {new:?} }}]\n"
    );
    run(&extra, async |ingest| {
        let body = r#"{"event":"payment.captured"}"#;
        assert_eq!(send(ingest, "razorpay", "hush-old", body).await.status, 401);
        ingest.counted("webhook_verification_failures_total{source=\"razorpay\",reason=\"secret_expired\"} 1").await;
        // Its id is in a header that the signer leaves empty: genuine all the same.
        assert_eq!(send(ingest, "razorpay", "hush-new", body).await.status, 400);
        let metrics = ingest.ops("/metrics").await.body;
        assert!(metrics.contains("webhook_secret_last_used_timestamp_seconds{source=\"razorpay\",secret=\"2\"}"));
        assert!(!metrics.contains("secret=\"1\"") && !metrics.contains("hush"));
    })
    .await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
