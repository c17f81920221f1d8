//! Certificates that a provider serves: the URL pinned to its host, the certificate read, vouched for and kept.
//!
//! This module fetches nothing. It says which certificate is wanted ([`wanted`]), reads what was fetched
//! ([`Certificate::read`]) and keeps it ([`Certificates`]), bounded. A certificate counts if it is for the provider's name,
//! and a chain of certificates that are valid leads from it to an authority, as the provider's own library demands: so a
//! host that serves wrong files is not enough to forge. It does not ask whether a certificate was revoked.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};
use x509_cert::der::{Decode as _, Encode as _};

use super::{Headers, Refusal};
use crate::provider::CertificateRule;

/// Most certificates kept. A provider uses one or two at a time.
const MAX_CERTIFICATES: usize = 16;
/// Most certificates in one file: a chain has three or four.
const MAX_CHAIN: usize = 8;
/// Longest URL of a certificate, in bytes.
const MAX_URL_BYTES: usize = 256;
/// Largest certificate file, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 32 * 1024;
/// The object identifier of a common name (RFC 5280, appendix A.1).
const COMMON_NAME: &str = "2.5.4.3";

/// Who may vouch for a certificate. Cheap to clone.
#[derive(Clone, Default)]
pub struct Authorities(Arc<Vec<TrustAnchor<'static>>>);

impl From<Vec<TrustAnchor<'static>>> for Authorities {
    fn from(anchors: Vec<TrustAnchor<'static>>) -> Self {
        Self(Arc::new(anchors))
    }
}

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
    /// Not a PEM file with X.509 certificates, or too large.
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
    /// No chain of valid certificates leads from it to an authority.
    #[error("no authority vouches for it")]
    NotVouchedFor(#[source] webpki::Error),
}

impl Certificate {
    /// Reads a PEM file: the certificate, and behind it those that vouch for it.
    ///
    /// # Errors
    /// [`CertificateError`] if it is none, not one for a name that ends with `name_suffix`, or if at `at` no chain leads
    /// to one of `authorities`.
    pub fn read(
        pem: &[u8],
        name_suffix: &str,
        authorities: &Authorities,
        at: OffsetDateTime,
    ) -> Result<Self, CertificateError> {
        let chain = chain(pem)?;
        let (first, others) = chain.split_first().ok_or(CertificateError::Malformed)?;
        let parsed = parsed(first)?;
        let about = &parsed.tbs_certificate;
        let names = about.subject.0.iter().flat_map(|name| name.0.iter());
        let common = names.filter(|attribute| attribute.oid.to_string() == COMMON_NAME);
        let ends_right = |name: &[u8]| name.to_ascii_lowercase().ends_with(name_suffix.as_bytes());
        if !common.map(|attribute| attribute.value.value()).any(ends_right) {
            return Err(CertificateError::Name { suffix: name_suffix.to_owned() });
        }
        let key = about.subject_public_key_info.to_der().map_err(|_not_der| CertificateError::Key)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).map_err(|_not_rsa| CertificateError::Key)?;
        let (valid_from_unix, valid_until_unix) = vouched_for(first, others, authorities, at)?;
        Ok(Self { key, valid_from_unix, valid_until_unix })
    }

    /// Whether it is valid then.
    pub(super) fn is_valid_at(&self, at: OffsetDateTime) -> bool {
        (self.valid_from_unix..=self.valid_until_unix).contains(&at.unix_timestamp())
    }
}

/// The certificates of a PEM file.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if pem.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::Malformed);
    }
    let chain = CertificateDer::pem_slice_iter(pem).take(MAX_CHAIN + 1).collect::<Result<Vec<_>, _>>();
    chain.ok().filter(|chain| chain.len() <= MAX_CHAIN).ok_or(CertificateError::Malformed)
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<x509_cert::Certificate, CertificateError> {
    x509_cert::Certificate::from_der(certificate).map_err(|_not_x509| CertificateError::Malformed)
}

/// From when and until when all of the chain to an authority is valid, in Unix seconds.
fn vouched_for(
    first: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    authorities: &Authorities,
    at: OffsetDateTime,
) -> Result<(i64, i64), CertificateError> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp().unsigned_abs()));
    let first_of_chain = EndEntityCert::try_from(first).map_err(CertificateError::NotVouchedFor)?;
    // Providers use certificates of the kind that web servers have.
    let usage = KeyUsage::server_auth();
    let path = first_of_chain
        .verify_for_usage(ALL_VERIFICATION_ALGS, &authorities.0, others, now, usage, None, None)
        .map_err(CertificateError::NotVouchedFor)?;
    let (mut from, mut until) = validity(first)?;
    for between in path.intermediate_certificates() {
        let (begins, ends) = validity(&between.der())?;
        (from, until) = (from.max(begins), until.min(ends));
    }
    Ok((from, until))
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(i64, i64), CertificateError> {
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let validity = parsed(certificate)?.tbs_certificate.validity;
    Ok((seconds(validity.not_before), seconds(validity.not_after)))
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
