//! An authority of a test's own: certificates for hosts and for signing, as a provider has them, good and bad.
//!
//! Nothing that it issues is trusted by anybody who was not given its certificate.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use time::{Duration, OffsetDateTime};

/// Who issues certificates.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'n> {
    /// Its name: a host, also as the subject's common name.
    pub name: &'n str,
    /// From when it is valid, in days from now.
    pub from_days: i64,
    /// Until when it is valid, in days from now.
    pub until_days: i64,
}

/// A certificate with its private key, which is RSA.
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: KeyPair,
}

impl<'n> Wanted<'n> {
    /// One that is valid now.
    #[must_use]
    pub fn now(name: &'n str) -> Self {
        Self { name, from_days: -1, until_days: 30 }
    }

    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::new(vec![self.name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, self.name);
        params.not_before = OffsetDateTime::now_utc() + Duration::days(self.from_days);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(self.until_days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
    }
}

impl Authority {
    /// One that vouches for itself.
    #[must_use]
    pub fn new() -> Self {
        let (params, key) = Self::params("the test's authority");
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// One that this one vouches for.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        let (params, key) = Self::params("the test's lesser authority");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A certificate that it vouches for.
    #[must_use]
    pub fn issue(&self, wanted: Wanted<'_>) -> Issued {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = wanted.params().signed_by(&key, &self.issuer).unwrap();
        Issued { certificate, key }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
