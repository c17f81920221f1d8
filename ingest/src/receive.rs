//! The way of one webhook through ingest, from request to answer.
//!
//! [`accept`] is the order of decisions: source (404), content coding (415), size (413), body (413, 408, 400, and
//! 503 without room for its bytes), signature (401), id and topic (400), a place (503), confirm or spool (503).
//! Paths (404) and methods (405) are decided before all of them, in [`request`].
//!
//! Invariant: a 2xx is written only after the message is durable (`durable.rs`).

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use shared::failpoint;
use shared::message::{Message, sha256};
use shared::provider::Identity;
use shared::verification::{Headers, Incoming, Refusal, Reply, Verified};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::certificates::Fetcher;
use crate::durable::{Keeper, Kept};
use crate::metrics::Metrics;
use crate::observation::Observation;
use crate::refused::Refused;
use crate::room::Room;
use crate::sources::{Source, Sources};
use crate::{answer, body, problem};

/// What every request needs. One for all of actix's workers.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) sources: Sources,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) keeper: Keeper,
    pub(crate) room: Room,
    pub(crate) body_timeout: Duration,
    /// What body, publish and spool may take together: what one leaves, the next may use.
    pub(crate) accept_timeout: Duration,
    pub(crate) retry_after_s: u32,
    pub(crate) metrics: Metrics,
}

/// Every request. There is one path, so it is read here: the server's router would run a regular expression over it.
pub(crate) async fn request(request: HttpRequest, payload: web::Payload, inbox: web::Data<Inbox>) -> HttpResponse {
    match (source_name(&request), request.method()) {
        (None, _) => refuse(&inbox, Observation::begin(&inbox.metrics), &Refused::Path),
        (Some(_), &Method::POST) => webhook(&request, payload, &inbox).await,
        (Some(_), &Method::GET) => subscription(&request, &inbox),
        (Some(_), _) => refuse(&inbox, Observation::begin(&inbox.metrics), &Refused::Method),
    }
}

/// The `{source}` of `/webhooks/{source}`: one segment, not empty. As RFC 3986 has it, an escaped letter is that letter,
/// and an escaped slash is none.
fn source_name(request: &HttpRequest) -> Option<&str> {
    let name = request.match_info().unprocessed().strip_prefix("/webhooks/")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// `POST /webhooks/{source}`.
async fn webhook(request: &HttpRequest, payload: web::Payload, inbox: &Inbox) -> HttpResponse {
    let mut observation = Observation::begin(&inbox.metrics);
    match accept(request, payload, inbox, &mut observation).await {
        Ok(Accepted::Webhook(answer, kept)) => {
            observation.accepted(kept);
            answer
        }
        Ok(Accepted::Handshake(reply)) => {
            observation.handshake();
            answer::handshake(reply)
        }
        Err(refused) => {
            let bare = source(request, inbox).is_ok_and(|source| source.provider.file().answer.is_bare());
            let refusal = refuse(inbox, observation, &refused);
            if bare { problem::without_document(refusal) } else { refusal }
        }
    }
}

/// `GET /webhooks/{source}`: for providers that ask whether the URL is ours.
fn subscription(request: &HttpRequest, inbox: &Inbox) -> HttpResponse {
    let mut observation = Observation::begin(&inbox.metrics);
    let answered = (|| {
        // The method is decided before the source: to most sources, and to none, a GET is a wrong method.
        let source = source(request, inbox).map_err(|_no_source| Refused::Method)?;
        let subscription = source.subscription.as_ref().ok_or(Refused::Method)?;
        observation.source(&source.name);
        subscription.answer(request.query_string())
    })();
    match answered {
        Ok(answer) => {
            observation.handshake();
            answer
        }
        Err(refused) => refuse(inbox, observation, &refused),
    }
}

fn refuse(inbox: &Inbox, observation: Observation<'_>, refused: &Refused) -> HttpResponse {
    observation.refused(refused);
    problem::response(refused, inbox.retry_after_s)
}

/// What became of a request that was not refused.
enum Accepted {
    /// It is durable, and answered this.
    Webhook(HttpResponse, Kept),
    /// It was no webhook.
    Handshake(Reply),
}

fn source<'i>(request: &HttpRequest, inbox: &'i Inbox) -> Result<&'i Source, Refused> {
    source_name(request).and_then(|name| inbox.sources.get(name)).ok_or(Refused::Source)
}

async fn accept<'i>(
    request: &HttpRequest,
    payload: web::Payload,
    inbox: &'i Inbox,
    observation: &mut Observation<'i>,
) -> Result<Accepted, Refused> {
    let received_at = OffsetDateTime::now_utc();
    let answer_by = Instant::now() + inbox.accept_timeout;
    let source = source(request, inbox)?;
    observation.source(&source.name);
    body::refuse_encoded(request.headers())?;
    body::refuse_announced(request.headers(), source.max_body_bytes)?;
    let mut bytes = inbox.room.bytes();
    let body = body::read(payload, source.max_body_bytes, &mut bytes, inbox.body_timeout).await?;
    let headers = headers(request);
    let incoming = Incoming { headers: &headers, query: request.uri().query(), body: &body, received_at };
    let verified = verify(source, incoming, &inbox.fetcher).await?;
    observation.verified(verified);
    if let Some(reply) = source.verifier.handshake(&source.provider, verified, &body) {
        return Ok(Accepted::Handshake(reply));
    }
    let identity = source.provider.identify(&headers, &body).map_err(Refused::Identity)?;
    observation.identity(&identity);
    let trace = observation.trace(&headers);
    let _place = inbox.room.place()?;
    let (publishing, traceparent) = trace.publish(&inbox.keeper.queue, &identity.id, body.len());
    let message = Message { traceparent, ..message(source, &headers, &identity, received_at, body) };
    let kept = inbox.keeper.keep(&message, bytes, answer_by).await;
    publishing.ended(kept);
    let kept = kept.map_err(Refused::NotKept)?;
    failpoint::reach("ingest.kept");
    Ok(Accepted::Webhook(answer::accepted(&source.provider.file().answer, &identity.id), kept))
}

/// Verifies; fetches the certificate first, if that is what is missing.
async fn verify(source: &Source, request: Incoming<'_>, fetcher: &Fetcher) -> Result<Verified, Refused> {
    let mut verified = source.verifier.verify(request);
    if let Err(Refusal::CertificateUnknown { url }) = &verified {
        fetcher.fetch(url, &source.certificate_suffix).await.map_err(Refused::Certificate)?;
        verified = source.verifier.verify(request);
    }
    verified.map_err(Refused::Signature)
}

fn headers(request: &HttpRequest) -> Headers<'_> {
    request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn message(
    source: &Source,
    headers: &Headers<'_>,
    identity: &Identity,
    received_at: OffsetDateTime,
    body: bytes::Bytes,
) -> Message {
    Message {
        source: source.name.clone(),
        provider: source.provider.name().clone(),
        id: identity.id.clone(),
        topic: identity.topic.clone(),
        received_at,
        content_type: headers.one("content-type").ok().flatten().map(str::to_owned),
        headers: source.provider.kept_headers(headers),
        body_sha256: sha256(&body),
        attempt: 0,
        traceparent: None,
        steering: None,
        body,
    }
}
