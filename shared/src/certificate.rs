//! When a TLS peer's certificate ends, for the metrics. Whether it is to be trusted is decided elsewhere, by rustls.

use x509_cert::der::Decode as _;

/// The end of its validity, in unix seconds; `None` if it cannot be read.
#[must_use]
pub fn valid_until_unix(der: &[u8]) -> Option<i64> {
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
