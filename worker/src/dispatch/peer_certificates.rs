//! When the certificates of called services and of the mail server run out, as seen when they were last spoken with.
//!
//! Nothing is asked for its own sake: a peer that nothing is sent to is not seen, and one whose certificate has run out
//! is refused by rustls before it is seen again. So the alert is to come weeks before.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use shared::certificate::valid_until_unix;

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
