//! The ops port: `/livez`, `/readyz`, `/metrics`, apart from anything that providers can reach.
//!
//! `/livez` says that the process runs, `/readyz` whether it does its work and if not why,
//! `/metrics` is `OpenMetrics` text.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use prometheus_client::registry::Registry;
use serde::Serialize;

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a health check waits for its answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a service does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// In one word.
    pub status: ReadyStatus,
    /// What is missing, for a person; empty when all is well.
    pub reasons: Vec<&'static str>,
}

/// Readiness in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyStatus {
    /// All is well; answered 200.
    Ready,
    /// Works, with something missing; answered 200.
    Degraded,
    /// Cannot do its work; answered 503.
    Down,
}

impl Readiness {
    /// Ready when nothing is missing, else down.
    #[must_use]
    pub fn needing(missing: Vec<&'static str>) -> Self {
        let status = if missing.is_empty() { ReadyStatus::Ready } else { ReadyStatus::Down };
        Self { status, reasons: missing }
    }
}

/// Answers [`Readiness`] whenever `/readyz` is asked.
pub type Probe = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Serves the ops port on a bound listener, until the handle is told to stop.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(listener: TcpListener, registry: Arc<Registry>, probe: Probe) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&registry)))
            .app_data(web::Data::new(Arc::clone(&probe)))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?;
    Ok(server.run())
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

async fn readyz(probe: web::Data<Probe>) -> HttpResponse {
    let readiness = probe();
    let status = match readiness.status {
        ReadyStatus::Ready | ReadyStatus::Degraded => StatusCode::OK,
        ReadyStatus::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status).json(readiness)
}

async fn metrics(registry: web::Data<Registry>) -> HttpResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok().content_type(OPENMETRICS).body(text),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Asks a service on this machine whether it is ready: what a container's health check runs.
///
/// # Errors
/// When it does not answer in time, or says that it is not ready; the text says which.
pub fn healthcheck(ops_listen: SocketAddr) -> Result<(), String> {
    let mut address = ops_listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let answer = get(address, "/readyz").map_err(|error| format!("{address} does not answer: {error}"))?;
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(answer.lines().last().unwrap_or("no answer").to_owned()),
    }
}

/// Asks an ops port: the whole answer, head and body. Blocks for at most a few seconds.
///
/// # Errors
/// When it does not answer in time.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
