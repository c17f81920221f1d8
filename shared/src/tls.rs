//! TLS as a client: whom we trust, and a handshake without anything behind it.

use std::sync::Arc;

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why a peer cannot be spoken to in private.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No certificate could be for it.
    #[error("not a name that a certificate can be for")]
    Name(#[from] InvalidDnsNameError),
    /// This program's own cryptography, or the system's certificates.
    #[error("cannot be set up here")]
    Setup(#[from] rustls::Error),
    /// The peer, or its certificate.
    #[error("the handshake failed")]
    Handshake(#[from] std::io::Error),
}

/// A client that trusts the authorities that the system trusts.
///
/// # Errors
/// When the protocol versions do not fit the cryptography: a mistake of ours.
pub fn client_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Shakes hands with whoever is at the other end, who must have a trusted certificate for `host`; then hangs up.
///
/// # Errors
/// When the peer speaks no TLS, or its certificate is for somebody else, has expired, or is trusted by nobody here.
pub async fn handshake(stream: TcpStream, host: &str) -> Result<(), HandshakeError> {
    let name = ServerName::try_from(host.to_owned())?;
    let connector = TlsConnector::from(Arc::new(client_config()?));
    drop(connector.connect(name, stream).await?);
    Ok(())
}
