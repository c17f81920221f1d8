//! The bare handler: actix takes a body, lapin publishes it with a confirm, the answer is 200. Nothing else.
//!
//! The limit for ingest, in a process of its own: the same libraries, worker threads, queue, body and options, one
//! connection and one channel, as whoever knows them would write it. With `--message` it publishes the header and the
//! properties of ingest's message as well: what those cost the broker is not what ingest costs.

use std::net::SocketAddr;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;

use crate::process::SECRET;
use crate::publisher::Publisher;
use crate::shop::Shop;

/// What the bare handler is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct HandlerSettings {
    /// The broker.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: SecretString,
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// The queue, which exists.
    #[arg(long)]
    queue: String,
    /// Publish what ingest does: its header and its properties beside the body.
    #[arg(long)]
    message: bool,
}

/// Serves until it is killed.
///
/// # Errors
/// When the broker is not there, or the address is taken.
pub(crate) async fn serve(settings: HandlerSettings) -> anyhow::Result<()> {
    let mut publisher = Publisher::connect(&settings.amqp_url, settings.queue).await?;
    if settings.message {
        publisher = publisher.like(&Shop::open(SECRET)?.message())?;
    }
    let publisher = web::Data::new(publisher);
    let server = HttpServer::new(move || {
        App::new().app_data(publisher.clone()).route("/webhooks/{source}", web::post().to(take))
    });
    let workers = std::thread::available_parallelism()?.get();
    server.workers(workers).bind(settings.listen)?.run().await.context("the server failed")
}

async fn take(request: HttpRequest, body: web::Bytes, publisher: web::Data<Publisher>) -> HttpResponse {
    let id = request.headers().get("x-shopify-webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    match publisher.publish(id, &body).await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(_unconfirmed) => HttpResponse::ServiceUnavailable().finish(),
    }
}
