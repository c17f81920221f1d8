//! Fetches the certificates that a provider signs with, from the provider's own host, and from nowhere else.
//!
//! Which URLs may be asked is the provider file's to say (`shared::verification`): HTTPS, a pinned host, a plain path. No
//! redirects, no proxy, a bounded answer, a short deadline. The machine's authorities vouch for the host, and for the
//! certificate that it serves (`SSL_CERT_FILE` names others). Anybody can name URLs that begin right, so one fetch goes at a
//! time, no two within a second, and what failed is not tried again for a while: a webhook that has to wait is answered 503
//! and comes again. A certificate that is known costs nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use shared::error_chain::error_chain;
use shared::verification::{Authorities, Certificate, Certificates, MAX_CERTIFICATE_BYTES};
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// The whole fetch. On top of what any webhook may take; providers with certificates wait longer.
const DEADLINE: Duration = Duration::from_secs(1);
/// Between two fetches.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a failure is remembered.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// Most failures remembered.
const MAX_FAILURES: usize = 256;

/// Why a certificate is not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFetched {
    /// Another one is being fetched, or was a moment ago.
    Busy,
    /// It failed a while ago.
    FailedBefore,
    /// The provider's host does not answer as it should.
    Unreachable,
    /// What it answers is no certificate of use.
    Unusable,
}

impl NotFetched {
    /// How logs call it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Busy => "certificate_busy",
            Self::FailedBefore => "certificate_failed_before",
            Self::Unreachable => "certificate_unreachable",
            Self::Unusable => "certificate_unusable",
        }
    }
}

/// Fetches certificates into a store.
pub(crate) struct Fetcher {
    client: reqwest::Client,
    authorities: Authorities,
    store: Certificates,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    failures: HashMap<String, (Instant, NotFetched)>,
}

impl Fetcher {
    /// A fetcher for this store that trusts the machine's authorities.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub(crate) fn new(store: Certificates) -> reqwest::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(error = error_chain(error), "some authorities can't be read");
        }
        let mut roots = RootCertStore::empty();
        let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
        Self::trusting(roots, store)
    }

    fn trusting(roots: RootCertStore, store: Certificates) -> reqwest::Result<Self> {
        let authorities = Authorities::from(roots.roots.clone());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .build()?;
        Ok(Self { client, authorities, store, state: Mutex::default() })
    }

    /// Fetches the certificate at a pinned URL, unless it is there already.
    pub(crate) async fn fetch(&self, url: &str, name_suffix: &str) -> Result<(), NotFetched> {
        let mut state = self.state.try_lock().map_err(|_one_at_a_time| NotFetched::Busy)?;
        if self.store.get(url).is_some() {
            return Ok(());
        }
        state.admit(url, Instant::now())?;
        let outcome = self.fetch_now(url, name_suffix).await;
        match &outcome {
            Ok(()) => tracing::info!(url, "fetched a certificate"),
            Err(error) => {
                tracing::warn!(url, ?error, "cannot fetch a certificate; webhooks signed with it are answered 503");
                state.remember(url, *error, Instant::now());
            }
        }
        outcome
    }

    async fn fetch_now(&self, url: &str, name_suffix: &str) -> Result<(), NotFetched> {
        let unreachable = |_said| NotFetched::Unreachable;
        let mut answer = self.client.get(url).send().await.map_err(unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(NotFetched::Unreachable);
        }
        let mut pem = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            pem.extend_from_slice(&chunk);
            if pem.len() > MAX_CERTIFICATE_BYTES {
                return Err(NotFetched::Unusable);
            }
        }
        let certificate = Certificate::read(&pem, name_suffix, &self.authorities, OffsetDateTime::now_utc());
        let certificate = certificate.map_err(|error| {
            tracing::warn!(url, error = error_chain(&error), "a certificate is of no use");
            NotFetched::Unusable
        })?;
        self.store.insert(url.to_owned(), certificate);
        Ok(())
    }
}

impl State {
    /// Whether this URL may be asked now; if so, the pause begins.
    fn admit(&mut self, url: &str, now: Instant) -> Result<(), NotFetched> {
        if self.failures.get(url).is_some_and(|(at, _)| now.duration_since(*at) < FAILED_FOR) {
            return Err(NotFetched::FailedBefore);
        }
        if self.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return Err(NotFetched::Busy);
        }
        self.last = Some(now);
        Ok(())
    }

    fn remember(&mut self, url: &str, error: NotFetched, now: Instant) {
        self.failures.retain(|_, (at, _)| now.duration_since(*at) < FAILED_FOR);
        if self.failures.len() < MAX_FAILURES {
            self.failures.insert(url.to_owned(), (now, error));
        }
    }
}

#[cfg(test)]
mod tests;
