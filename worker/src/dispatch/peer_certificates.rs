//! When the certificates of called services and of the mail server run out, as seen when they were last spoken with.
//!
//! Nothing is asked for its own sake: a peer that nothing is sent to is not seen, and one whose certificate has run out
//! is refused by rustls before it is seen again. So the alert is to come weeks before.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use x509_cert::der::Decode as _;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: String,
}

/// The gauges. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerCertificates(Family<PeerLabel, Gauge>);

impl PeerCertificates {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let certificates = Self::default();
        let help = "When the certificate ends that smtp, or an http effect's service, showed last; 0 if none was seen";
        registry.register("webhook_peer_certificate_expiry_timestamp_seconds", help, certificates.0.clone());
        certificates
    }

    /// A peer that will be spoken with over TLS.
    pub(crate) fn expect(&self, peer: &str) {
        self.0.get_or_create(&PeerLabel { peer: peer.to_owned() }).set(0);
    }

    /// A peer showed its certificate, in DER.
    pub(crate) fn seen(&self, peer: &str, der: &[u8]) {
        if let Some(end) = valid_until_unix(der) {
            self.0.get_or_create(&PeerLabel { peer: peer.to_owned() }).set(end);
        }
    }
}

/// The end of a certificate's validity, in unix seconds; `None` if it cannot be read. Whether it is to be trusted was
/// decided by rustls.
fn valid_until_unix(der: &[u8]) -> Option<i64> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    i64::try_from(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_and_anything_else_has_none() {
        let roots = rustls_native_certs::load_native_certs().certs;
        assert!(roots.iter().any(|der| valid_until_unix(der).is_some_and(|end| end > 1_800_000_000)));
        assert_eq!(valid_until_unix(b"no certificate"), None);
    }
}
