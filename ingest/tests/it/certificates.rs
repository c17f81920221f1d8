//! PayPal's webhooks, from a host that serves its certificate over TLS to a message on the queue.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use shared::provider::Catalogue;
use shared::verification::{Credentials, Outgoing, Signer};
use testing::authority::{Authority, Issued, Wanted};
use testing::https::{Https, Reply};
use time::OffsetDateTime;

use crate::harness::{Broker, Program, configuration, folder_file, until};

const SIGNER: &str = "messageverificationcerts.paypal.com";

/// A folder with PayPal's file, which pins this host instead.
fn pinned_to(port: u16) -> PathBuf {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../providers/paypal.toml")).unwrap();
    let here = text.replace("https://api.paypal.com/v1/notifications/", &format!("https://localhost:{port}/"));
    assert_ne!(text, here);
    folder_file("paypal.toml", &here).parent().unwrap().to_owned()
}

/// A webhook of PayPal's, signed with this certificate's key, naming this URL for it.
fn signed(by: &Issued, url: &str, id: &str) -> Vec<u8> {
    let catalogue = Catalogue::built_in().unwrap();
    let key = SecretString::from(STANDARD.encode(by.key.serialize_der()));
    let parameters = [("webhook-id".to_owned(), "1JE4291016473214C".to_owned())].into();
    let credentials = Credentials { secrets: vec![key.into()], parameters, ..Credentials::default() };
    let signer = Signer::new(catalogue.get("paypal").unwrap(), credentials).unwrap();
    let body = format!(r#"{{"id":"{id}","event_type":"PAYMENT.CAPTURE.COMPLETED"}}"#);
    let outgoing = Outgoing { id, topic: "", body: body.as_bytes(), at: OffsetDateTime::now_utc() };
    let signed = signer.sign(outgoing).unwrap();
    let mut request = "POST /webhooks/paypal HTTP/1.1\r\nhost: test\r\n".to_owned();
    for (name, value) in signed.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("PAYPAL-CERT-URL")) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("PAYPAL-CERT-URL: {url}\r\ncontent-length: {}\r\n\r\n", signed.body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(&signed.body);
    request
}

#[tokio::test]
async fn a_webhook_is_verified_with_the_certificate_that_its_provider_serves() {
    let authority = Authority::new();
    let (genuine, forger) = (authority.issue(Wanted::now(SIGNER)), authority.issue(Wanted::now("example.org")));
    let replies = [("/certs/CERT-1", &genuine), ("/certs/CERT-2", &forger), ("/elsewhere", &genuine)];
    let replies = replies.map(|(path, issued)| (path.to_owned(), Reply::Body(issued.certificate.pem())));
    let https = Https::start(&authority.issue(Wanted::now("localhost")), replies.into()).await;
    let url = |path: &str| format!("https://localhost:{}/{path}", https.port);
    let broker = Broker::connect().await;
    let extra = "[sources.paypal]\nprovider = \"paypal\"\nparameters = { webhook-id = \"1JE4291016473214C\" }\n";
    let config = configuration(&broker.prefix, extra);
    let text = format!("providers_dir = {:?}\n{}", pinned_to(https.port), fs::read_to_string(&config).unwrap());
    let trusted = folder_file("authorities.pem", &authority.certificate().pem());
    let program = Program::start(&broker, |command| {
        fs::write(&config, &text).unwrap();
        command.env("SSL_CERT_FILE", &trusted);
    });
    program.ready().await;
    let answer = program.send(&signed(&genuine, &url("certs/CERT-1"), "WH-1")).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("WH-1")), "{}", program.log());
    // Known by now: whatever else it signs is verified at once, and what it did not sign is refused.
    assert_eq!(program.send(&signed(&genuine, &url("certs/CERT-1"), "WH-2")).await.status, 200);
    assert_eq!(program.send(&signed(&forger, &url("certs/CERT-1"), "WH-3")).await.status, 401);
    // A URL that is not pinned is never asked, on the pinned host neither.
    assert_eq!(program.send(&signed(&genuine, &url("elsewhere"), "WH-4")).await.status, 401);
    assert_eq!(program.send(&signed(&forger, "https://example.org/certs/CERT-1", "WH-5")).await.status, 401);
    assert_eq!(https.asked(), ["/certs/CERT-1"]);
    // A certificate of somebody else's is of no use, wherever it lies: 503, since the provider will come again.
    until("the other certificate is fetched", async || {
        assert_eq!(program.send(&signed(&forger, &url("certs/CERT-2"), "WH-6")).await.status, 503);
        https.asked().contains(&"/certs/CERT-2".to_owned()).then_some(())
    })
    .await;
    assert_eq!(program.send(&signed(&forger, &url("certs/CERT-2"), "WH-6")).await.status, 503);
    broker.clean_up().await;
}
