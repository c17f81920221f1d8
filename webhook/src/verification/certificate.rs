//! Certificates that a provider serves: the URL pinned to its host, the certificate read and kept.
//!
//! This module fetches nothing. It says which certificate is wanted ([`wanted`]), reads what was fetched
//! ([`Certificate::read`]) and keeps it ([`Certificates`]), bounded. Trust comes from the TLS connection to the pinned
//! host that whoever fetches must make; the certificate's own dates and name are checked besides. Its chain is not.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use x509_cert::der::{Decode as _, Encode as _};

use super::{Headers, Refusal};
use crate::provider::CertificateRule;

/// Most certificates kept. A provider uses one or two at a time.
const MAX_CERTIFICATES: usize = 16;
/// Longest URL of a certificate, in bytes.
const MAX_URL_BYTES: usize = 256;
/// Largest certificate file, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 32 * 1024;
/// The object identifier of a common name (RFC 5280, appendix A.1).
const COMMON_NAME: &str = "2.5.4.3";

/// A certificate with an RSA key.
#[derive(Clone)]
pub struct Certificate {
    pub(super) key: ParsedPublicKey,
    valid_from_unix: i64,
    valid_until_unix: i64,
}

/// Why bytes are no certificate of use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a PEM file with an X.509 certificate, or too large.
    #[error("it is no certificate in PEM")]
    Malformed,
    /// Its key is not RSA of 2048 to 8192 bits.
    #[error("its key is not RSA of 2048 bits or more")]
    Key,
    /// It is for somebody else.
    #[error("it is not for a name that ends with {suffix}")]
    Name {
        /// What the provider's file demands.
        suffix: String,
    },
}

impl Certificate {
    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// [`CertificateError`] if it is none, or not one for a name that ends with `name_suffix`.
    pub fn read(pem: &[u8], name_suffix: &str) -> Result<Self, CertificateError> {
        if pem.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::Malformed);
        }
        let der = CertificateDer::from_pem_slice(pem).map_err(|_not_pem| CertificateError::Malformed)?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(|_not_x509| CertificateError::Malformed)?;
        let about = &parsed.tbs_certificate;
        let names = about.subject.0.iter().flat_map(|name| name.0.iter());
        let common = names.filter(|attribute| attribute.oid.to_string() == COMMON_NAME);
        let ends_right = |name: &[u8]| name.to_ascii_lowercase().ends_with(name_suffix.as_bytes());
        if !common.map(|attribute| attribute.value.value()).any(ends_right) {
            return Err(CertificateError::Name { suffix: name_suffix.to_owned() });
        }
        let key = about.subject_public_key_info.to_der().map_err(|_not_der| CertificateError::Key)?;
        let seconds =
            |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Ok(Self {
            key: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).map_err(|_not_rsa| CertificateError::Key)?,
            valid_from_unix: seconds(about.validity.not_before),
            valid_until_unix: seconds(about.validity.not_after),
        })
    }

    /// Whether it is valid then.
    pub(super) fn is_valid_at(&self, at: OffsetDateTime) -> bool {
        (self.valid_from_unix..=self.valid_until_unix).contains(&at.unix_timestamp())
    }
}

/// Certificates that were fetched, by URL. Cheap to clone; all clones share them.
#[derive(Clone, Default)]
pub struct Certificates(Arc<RwLock<BTreeMap<String, Certificate>>>);

impl Certificates {
    /// Keeps a certificate. When there are too many, the one whose validity ends first goes.
    pub fn insert(&self, url: String, certificate: Certificate) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= MAX_CERTIFICATES && !kept.contains_key(&url) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.valid_until_unix).map(|(url, _)| url.clone());
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
        kept.insert(url, certificate);
    }

    /// The certificate at a URL, if it was fetched.
    #[must_use]
    pub fn get(&self, url: &str) -> Option<Certificate> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }
}

/// The URL that a request names, if it is the provider's own.
pub(super) fn wanted<'r>(rule: &CertificateRule, headers: &Headers<'r>) -> Result<&'r str, Refusal> {
    let url = headers.one(rule.url_from.as_str())?;
    let url = url.ok_or_else(|| Refusal::HeaderMissing { header: rule.url_from.as_str().to_owned() })?;
    let pinned = rule.url_prefixes.iter().find_map(|prefix| url.strip_prefix(prefix.as_str()));
    let plain = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if url.len() <= MAX_URL_BYTES && pinned.is_some_and(plain) { Ok(url) } else { Err(Refusal::CertificateUrl) }
}
