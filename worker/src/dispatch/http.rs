//! Performs `http`: a row of the outbox becomes one POST, signed as Standard Webhooks.
//!
//! Every attempt of a row carries the same `Idempotency-Key`, the same `webhook-id` and the same bytes, so a peer can
//! tell a repetition. An answer of the peer is its word: 2xx took it; 408, 409, 425, 429 and most of 5xx did not, and it
//! is tried again; any other refuses it for good. Without an answer to a request that was sent, and when a gateway answers
//! for a peer it could not hear (502, 504, 520 to 527, 598, 599), nobody knows.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::tls::TlsInfo;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use shared::config::{HttpEffectConfig, SecretError, SecretRef};
use shared::db::outbox::Lease;
use shared::error_chain::error_chain;
use shared::name::Name;
use shared::plan::{CallBody, Destination, DestinationError};
use shared::traces::{self, names};
use time::OffsetDateTime;
use uuid::Uuid;

use super::resolver::PublicResolver;
use super::{PeerCertificates, Perform, Performance};

/// How much of an answer is read: enough for a hint, and for a connection to be used again.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// How much of it is kept as the reason of a failure.
const HINT_CHARS: usize = 200;
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Peers close idle connections; a request on a closed one would be ambiguous.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why an `http` effect cannot be performed.
#[derive(Debug, thiserror::Error)]
pub enum HttpEffectError {
    /// Its URL.
    #[error("effects.http.{0}.url")]
    Destination(Name, #[source] DestinationError),
    /// Where a secret should be.
    #[error("effects.http.{0}.{1}")]
    Secret(Name, &'static str, #[source] SecretError),
    /// The signing secret is none.
    #[error("effects.http.{0}.secret: not a Standard Webhooks secret: whsec_ and the base64 of 24 to 64 bytes")]
    SigningSecret(Name),
    /// The token cannot stand in a header.
    #[error("effects.http.{0}.bearer: it holds characters that no header may hold")]
    Bearer(Name),
    /// The system's certificates cannot be read, or the like.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
}

/// Calls the URLs of all `http` effects.
pub(crate) struct HttpPerformer {
    destinations: HashMap<String, Peer>,
    certificates: PeerCertificates,
}

/// One effect's peer.
struct Peer {
    destination: Destination,
    client: Client,
    key: Option<hmac::Key>,
    authorization: Option<HeaderValue>,
}

impl HttpPerformer {
    /// Resolves the secrets and makes the clients; `begin_timeout` is what connecting may take.
    pub(crate) fn new<'c>(
        effects: impl Iterator<Item = (&'c Name, &'c HttpEffectConfig)>,
        begin_timeout: Duration,
        certificates: PeerCertificates,
    ) -> Result<Self, HttpEffectError> {
        let builder = || {
            let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
            let builder = builder.connect_timeout(begin_timeout).pool_idle_timeout(IDLE_TIMEOUT).tls_info(true);
            builder.user_agent(concat!("Oncehook/", env!("CARGO_PKG_VERSION")))
        };
        let guarded = builder().dns_resolver(Arc::new(PublicResolver)).build()?;
        let open = builder().build()?;
        let peer = |(name, config): (&Name, &HttpEffectConfig)| {
            if config.url.starts_with("https:") {
                certificates.expect(name.as_str());
            }
            let client = if config.allow_private { open.clone() } else { guarded.clone() };
            Ok((name.to_string(), Peer::new(name, config, client)?))
        };
        let destinations = effects.map(peer).collect::<Result<_, HttpEffectError>>()?;
        Ok(Self { destinations, certificates })
    }

    async fn call(&self, effect: &Lease) -> Performance {
        let Some(peer) = self.destinations.get(&effect.effect) else {
            // A worker that is configured anew may know it.
            let error = format!("there is no effect {} in the configuration", effect.effect);
            return Performance::Declined { after: None, error };
        };
        let body: CallBody = match serde_json::from_str(&effect.intent) {
            Ok(body) => body,
            Err(error) => return Performance::Refused(format!("the outbox row: {error}")),
        };
        let mut headers = match peer.headers(&effect.dedupe_key, &body.json, OffsetDateTime::now_utc()) {
            Ok(headers) => headers,
            Err(error) => return Performance::Refused(error_chain(&error)),
        };
        // Whoever is called can go on with the trace.
        let traceparent = traces::traceparent_of_current().or_else(|| effect.traceparent.clone());
        if let Some(traceparent) = traceparent.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(TRACEPARENT, traceparent);
        }
        // Of the URL no more: its path may hold what nobody else should read.
        let url = peer.destination.url();
        traces::calls(url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        traces::set_on_current(names::HTTP_REQUEST_METHOD, "POST");
        let request = peer.client.post(peer.destination.url().clone()).headers(headers).body(body.json);
        match request.send().await {
            Ok(answer) => {
                traces::set_on_current(names::HTTP_RESPONSE_STATUS_CODE, i64::from(answer.status().as_u16()));
                if let Some(der) = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate) {
                    self.certificates.seen(&effect.effect, der);
                }
                judge(answer).await
            }
            Err(error) if error.is_connect() || error.is_builder() => Performance::NotSent(why(error)),
            Err(error) => Performance::Unknown(why(error)),
        }
    }
}

impl Perform for HttpPerformer {
    fn perform<'a>(&'a self, effect: &'a Lease) -> Pin<Box<dyn Future<Output = Performance> + Send + 'a>> {
        Box::pin(self.call(effect))
    }
}

impl Peer {
    fn new(name: &Name, config: &HttpEffectConfig, client: Client) -> Result<Self, HttpEffectError> {
        let destination = Destination::parse(&config.url, config.allow_private)
            .map_err(|error| HttpEffectError::Destination(name.clone(), error))?;
        let resolve = |key, secret: &Option<SecretRef>| {
            let resolved = secret.as_ref().map(SecretRef::resolve).transpose();
            resolved.map_err(|error| HttpEffectError::Secret(name.clone(), key, error))
        };
        let signing = resolve("secret", &config.secret)?;
        let key = signing.map(|secret| signing_key(&secret).ok_or(HttpEffectError::SigningSecret(name.clone())));
        let token = resolve("bearer", &config.bearer)?;
        let authorization = token.map(|token| bearer(&token).ok_or(HttpEffectError::Bearer(name.clone())));
        Ok(Self { destination, client, key: key.transpose()?, authorization: authorization.transpose()? })
    }

    /// By <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>: the signature
    /// is over `id.timestamp.body`.
    fn headers(
        &self,
        dedupe_key: &str,
        body: &str,
        now: OffsetDateTime,
    ) -> Result<HeaderMap, reqwest::header::InvalidHeaderValue> {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, dedupe_key.as_bytes()).to_string();
        let timestamp = now.unix_timestamp().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("idempotency-key"), HeaderValue::from_str(&id)?);
        headers.insert(HeaderName::from_static("webhook-id"), HeaderValue::from_str(&id)?);
        headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from_str(&timestamp)?);
        if let Some(key) = &self.key {
            let tag = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
            let signature = format!("v1,{}", BASE64.encode(tag));
            headers.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_str(&signature)?);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(headers)
    }
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn signing_key(secret: &SecretString) -> Option<hmac::Key> {
    let text = secret.expose_secret();
    let bytes = BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Hears an answer out.
async fn judge(mut answer: Response) -> Performance {
    let status = answer.status();
    let after = retry_after(answer.headers());
    let hint = beginning(&mut answer).await;
    let error = if hint.is_empty() { status.to_string() } else { format!("{status}: {hint}") };
    meaning(status, after, error)
}

/// What an answer means.
fn meaning(status: StatusCode, after: Option<Duration>, error: String) -> Performance {
    match status {
        _ if status.is_success() => Performance::Sent,
        // A proxy's word that it does not know what became of the request: 502 and 504 of RFC 9110, 520 to 527 of
        // Cloudflare (<https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>),
        // 598 and 599 of some others.
        _ if matches!(status.as_u16(), 502 | 504 | 520..=527 | 598 | 599) => Performance::Unknown(error),
        // Of this request alone (RFC 9110, sections 15.5.9 and 15.5.10; RFC 8470, section 5.2).
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_EARLY => {
            Performance::Declined { after, error }
        }
        StatusCode::TOO_MANY_REQUESTS => later(after, error),
        _ if status.is_server_error() => later(after, error),
        // A redirect is refused like any 4xx: it could lead anywhere.
        _ => Performance::Refused(error),
    }
}

fn later(after: Option<Duration>, error: String) -> Performance {
    match after {
        Some(after) => Performance::Later { after, error },
        None => Performance::NotSent(error),
    }
}

/// In seconds (RFC 9110, section 10.2.3); a date is left to our own delays.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The beginning of a body. That it ends early changes nothing about the status.
async fn beginning(answer: &mut Response) -> String {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        read.extend_from_slice(&chunk);
        if read.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&read).chars().filter(|char| !char.is_control()).take(HINT_CHARS).collect()
}

/// Without the URL, which may hold what nobody else should read.
fn why(error: reqwest::Error) -> String {
    error_chain(&error.without_url())
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use shared::config::AmbiguousPolicy;

    use super::super::Word;
    use super::*;

    #[test]
    fn what_is_said_of_one_call_is_no_word_on_its_destination() {
        let word = |status: u16| Word::of(&meaning(StatusCode::from_u16(status).unwrap(), None, String::new()));
        let all = |statuses: &[u16], expected| statuses.iter().all(|status| word(*status) == expected);
        assert!(all(&[200, 204], Word::Takes));
        assert!(all(&[429, 500, 502, 503, 504, 520, 599], Word::Away));
        assert!(all(&[400, 401, 404, 408, 409, 425], Word::Nothing));
        let after = Some(Duration::from_secs(7));
        let declined = meaning(StatusCode::CONFLICT, after, "409".to_owned());
        assert_eq!(declined, Performance::Declined { after, error: "409".to_owned() });
    }

    #[tokio::test]
    async fn an_effect_that_is_not_configured_has_no_destination_to_be_away() {
        let certificates = PeerCertificates::register(&mut Registry::default());
        let performer = HttpPerformer::new(std::iter::empty(), Duration::from_secs(1), certificates).unwrap();
        let row = Lease {
            id: 1,
            dedupe_key: "gone/shop/1".to_owned(),
            effect: "gone".to_owned(),
            kind: "http".to_owned(),
            webhook_id: None,
            intent: "{}".to_owned(),
            on_ambiguous: AmbiguousPolicy::Resend,
            attempts: 1,
            fence: 1,
            traceparent: None,
        };
        let performance = performer.perform(&row).await;
        assert!(
            matches!(&performance, Performance::Declined { error, .. } if error.contains("gone")),
            "{performance:?}"
        );
        assert_eq!(Word::of(&performance), Word::Nothing);
    }

    #[test]
    fn a_call_is_signed_as_the_specification_shows() {
        // The example of the specification's own libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let key = signing_key(&secret).unwrap();
        let tag = hmac::sign(&key, br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#);
        assert_eq!(BASE64.encode(tag), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for wrong in ["", "whsec_", "whsec_short", "whsec_MfKQ9r8GKYqrTwjUPD8I!PZIo2LaLaSw"] {
            assert!(signing_key(&SecretString::from(wrong)).is_none(), "{wrong}");
        }
    }
}
