//! Every provider's samples, signed as it signs them and sent over HTTP: accepted, and refused with a secret that is another's.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use shared::provider::{Algorithm, Catalogue, KeyEncoding, KeyRule, Part, Provider, SignatureRule};
use shared::verification::{Credentials, Outgoing, SignedWebhook, Signer};
use time::OffsetDateTime;

use crate::harness::{folder_file, run};

const PUBLIC_URL: &str = "https://hooks.example.com/webhooks/any";

/// What a provider signs with, and what its source is given.
struct Keys {
    signing: String,
    verifying: String,
}

fn keys(provider: &Provider, seed: &str) -> Keys {
    let raw = format!("a secret of some length: {seed}");
    let shared = |text: String| Keys { signing: text.clone(), verifying: text };
    match (provider.signature(), provider.signature().signed()) {
        (SignatureRule::Basic(_), _) => shared(format!("user:{raw}")),
        (_, None) => shared(raw),
        (_, Some((Algorithm::Hmac(_), rule))) => shared(written(&rule.key, raw.as_bytes())),
        (_, Some((algorithm, rule))) => {
            let (private, public) = pair(algorithm);
            Keys { signing: STANDARD.encode(private), verifying: written(&rule.key, &public) }
        }
    }
}

fn pair(algorithm: Algorithm) -> (Vec<u8>, Vec<u8>) {
    if algorithm == Algorithm::Ed25519 {
        let pair = Ed25519KeyPair::generate().unwrap();
        return (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), pair.public_key().as_ref().to_vec());
    }
    if algorithm == Algorithm::EcdsaP256 {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        return (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public.as_ref().to_vec());
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (private.as_ref().to_vec(), public.as_ref().to_vec())
}

fn written(rule: &KeyRule, bytes: &[u8]) -> String {
    let text = match rule.encoding {
        KeyEncoding::Raw => String::from_utf8(bytes.to_vec()).unwrap(),
        KeyEncoding::Base64 => STANDARD.encode(bytes),
        KeyEncoding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        KeyEncoding::Pem => {
            return format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(bytes));
        }
    };
    format!("{}{text}", rule.prefix)
}

/// A source of this provider's, beside those that every test has.
fn source(provider: &Provider, secret: &str) -> String {
    let template = provider.signature().signed().map(|(_, rule)| &rule.template);
    let signs_url = template.is_some_and(|template| template.has(&Part::Url));
    let url = if signs_url { format!("public_url = {PUBLIC_URL:?}\n") } else { String::new() };
    let parameters: Vec<&str> = template.map(|template| template.parameters().collect()).unwrap_or_default();
    let parameters: String = parameters.iter().map(|name| format!("parameters.{name} = \"any\"\n")).collect();
    let (name, file) = (provider.name(), folder_file("secret", secret));
    format!("[sources.to-{name}]\nprovider = \"{name}\"\nsecrets = [{{ file = {file:?} }}]\n{url}{parameters}")
}

/// The provider's samples, signed with this secret, as requests.
fn requests(provider: &Provider, secret: &str) -> Vec<Vec<u8>> {
    let template = provider.signature().signed().map(|(_, rule)| &rule.template);
    let parameters = template.into_iter().flat_map(|template| template.parameters());
    let credentials = Credentials {
        secrets: vec![SecretString::from(secret).into()],
        public_url: Some(PUBLIC_URL.to_owned()),
        parameters: parameters.map(|name| (name.to_owned(), "any".to_owned())).collect(),
    };
    let signer = Signer::new(provider, credentials).unwrap();
    let sample = |sample: shared::provider::Sample| {
        let (id, body) = (uuid::Uuid::new_v4().to_string(), sample.body.as_bytes());
        let outgoing = Outgoing { id: &id, topic: &sample.topic, body, at: OffsetDateTime::now_utc() };
        request(provider, &signer.sign(outgoing).unwrap())
    };
    provider.samples().into_iter().map(sample).collect()
}

fn request(provider: &Provider, signed: &SignedWebhook) -> Vec<u8> {
    let query = signed.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = format!("POST /webhooks/to-{}{query} HTTP/1.1\r\nhost: test\r\n", provider.name());
    for (name, value) in &signed.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", signed.body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(&signed.body);
    request
}

#[tokio::test]
async fn what_is_signed_as_its_provider_signs_is_accepted_over_http() {
    let catalogue = Catalogue::built_in().unwrap();
    let known: Vec<(&Provider, Keys)> = catalogue.iter().map(|provider| (provider, keys(provider, "ours"))).collect();
    let extra: String = known.iter().map(|(provider, keys)| source(provider, &keys.verifying)).collect();
    run(&extra, async |ingest| {
        for (provider, ours) in &known {
            let name = provider.name();
            let genuine = requests(provider, &ours.signing);
            assert!(!genuine.is_empty(), "{name} has no sample");
            for request in genuine {
                let answer = ingest.send(&request).await;
                assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            }
            for request in requests(provider, &keys(provider, "another's").signing) {
                assert_eq!(ingest.send(&request).await.status, 401, "{name}");
            }
        }
    })
    .await;
}
