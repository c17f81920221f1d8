//! One cryptography implementation for everything: aws-lc-rs, also as rustls' provider.

/// Makes aws-lc-rs the process's provider for TLS; called first in every `main`.
pub fn install() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}
