//! The services that `http` effects call: names, private networks, TLS. No request is sent.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use shared::address::is_public;
use shared::config::{Config, HttpEffectConfig};
use shared::error_chain::error_chain;
use shared::plan::Destination;
use shared::tls;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use super::finding::{Area, Finding, Findings};

/// How long a name, a connection and TLS may take together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a service cannot be called.
#[derive(Debug, thiserror::Error)]
enum Unreachable {
    #[error("{0} is no name that leads anywhere")]
    Name(String, #[source] std::io::Error),
    #[error("{0} leads into a private network only, where calls are refused")]
    Private(String),
    #[error("nothing answers at {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    #[error("TLS with {0} fails")]
    Tls(String, #[source] tls::HandshakeError),
    #[error("{0} did not answer within {seconds} s", seconds = HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut(String),
}

/// Looks at the services of all calls, side by side.
pub(super) async fn look(config: &Config, found: &mut Findings) {
    if config.effects.http.is_empty() {
        return found.skip("all of it", "no effect calls a service");
    }
    let calls = config.effects.http.iter().map(|(name, call)| one(format!("effects.http.{name}"), call));
    for finding in join_all(calls).await.into_iter().flatten() {
        found.take(finding);
    }
}

async fn one(subject: String, call: &HttpEffectConfig) -> Vec<Finding> {
    let mut found = Findings::of(Area::Calls);
    let destination = match Destination::parse(&call.url, call.allow_private) {
        Ok(destination) => destination,
        Err(error) => {
            found.fail(subject, error_chain(&error), "mend its url");
            return found.into_list();
        }
    };
    let url = destination.url();
    let place = place(url);
    let reached = tokio::time::timeout(HANDSHAKE_TIMEOUT, reach(url, call.allow_private)).await;
    match reached.unwrap_or_else(|_elapsed| Err(Unreachable::TimedOut(place.clone()))) {
        Ok(address) if url.scheme() == "https" => {
            found.ok(subject, format!("{place} answers at {} with a certificate that is trusted", address.ip()));
        }
        Ok(address) if is_public(address.ip()) => {
            found.warn(subject, format!("{place} is called in the clear over the internet"), "use https://");
        }
        Ok(address) => found.ok(subject, format!("{place} answers at {}", address.ip())),
        Err(error) => {
            let mend = mend(&error);
            found.fail(subject, error_chain(&error), mend);
        }
    }
    found.into_list()
}

/// Connects as a worker does; the address that answered.
async fn reach(url: &Url, allow_private: bool) -> Result<SocketAddr, Unreachable> {
    let place = place(url);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let looked_up = lookup_host((host, port)).await.map_err(|error| Unreachable::Name(host.to_owned(), error))?;
    let mut allowed = looked_up.filter(|address| allow_private || is_public(address.ip()));
    let address = allowed.next().ok_or_else(|| Unreachable::Private(host.to_owned()))?;
    let stream = TcpStream::connect(address).await.map_err(|error| Unreachable::Connect(address, error))?;
    if url.scheme() == "https" {
        tls::handshake(stream, host).await.map_err(|error| Unreachable::Tls(place, error))?;
    }
    Ok(address)
}

/// `host:port`, and nothing of the path, which may hold a secret.
fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443))
}

fn mend(error: &Unreachable) -> &'static str {
    match error {
        Unreachable::Name(..) => "mend the host in its url, or the name server of this network",
        Unreachable::Private(_) => "say allow_private = true if the service is meant to be on a private network",
        Unreachable::Connect(..) | Unreachable::TimedOut(_) => {
            "start the service, or open the firewall; calls wait in the outbox"
        }
        Unreachable::Tls(..) => {
            "let the service have a certificate for that name from an authority that is trusted here"
        }
    }
}
