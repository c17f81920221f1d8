//! Why a webhook was refused: a closed set, with codes that metrics, alerts and people can rely on.

use super::HeaderError;

/// Why a request is not genuine, as far as one can tell. Carries nothing secret; the sender still learns only
/// that it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No header with a signature.
    #[error("no header carries a signature")]
    SignatureMissing,
    /// The signature's header is empty.
    #[error("the signature's header is empty")]
    SignatureEmpty,
    /// The header is there, and no part of it has the provider's form.
    #[error("the signature's header has not the provider's form")]
    SignatureMalformed,
    /// No signature is written in the provider's encoding, or none has the hash's length.
    #[error("the signature is not written in the provider's encoding, or has the wrong length")]
    SignatureEncoding,
    /// More signatures than are looked at.
    #[error("more than {} signatures", super::MAX_CANDIDATES)]
    TooManySignatures,
    /// A header that is signed, or that carries the signature, was given twice.
    #[error("header {header} was given more than once")]
    HeaderTwice {
        /// Its name.
        header: String,
    },
    /// Such a header is not printable ASCII.
    #[error("header {header} is not printable ASCII")]
    HeaderNotText {
        /// Its name.
        header: String,
    },
    /// The id is signed, and not there.
    #[error("the id is part of what is signed, and missing")]
    IdMissing,
    /// The time of sending is signed, and not there.
    #[error("the timestamp is missing")]
    TimestampMissing,
    /// It is not written as the provider writes it.
    #[error("the timestamp has not the provider's form")]
    TimestampMalformed,
    /// Sent too long ago, or the clocks differ.
    #[error("the timestamp is {seconds} s before the time of receipt")]
    TimestampTooOld {
        /// By how much.
        seconds: i64,
    },
    /// Sent in the future: the clocks differ.
    #[error("the timestamp is {seconds} s after the time of receipt")]
    TimestampTooNew {
        /// By how much.
        seconds: i64,
    },
    /// A header that is signed is not there.
    #[error("header {header} is missing")]
    HeaderMissing {
        /// Its name.
        header: String,
    },
    /// A field of the body that matters is no text.
    #[error("a field of the body that is signed is neither a string nor a number")]
    FieldNotText,
    /// The query names a hash that is not the body's.
    #[error("the body has not the hash that the URL says")]
    BodyHash,
    /// The certificate's URL is not the provider's.
    #[error("the certificate's URL is not one of the provider's own")]
    CertificateUrl,
    /// The certificate has to be fetched first.
    #[error("the certificate at {url} is not known yet")]
    CertificateUnknown {
        /// Where it is; pinned to the provider's host.
        url: String,
    },
    /// The certificate is not valid at the time of receipt.
    #[error("the certificate is not valid now")]
    CertificateExpired,
    /// Genuine, by a secret whose time is over.
    #[error("secret {position} made this signature, and its not_after is over")]
    SecretExpired {
        /// Which one, from 1.
        position: usize,
    },
    /// The signature was made with none of the secrets, or over something else.
    #[error("no secret made this signature over these bytes")]
    NoSecretMatched,
}

impl Refusal {
    /// A stable name for metrics and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignatureMissing => "signature_missing",
            Self::SignatureEmpty => "signature_empty",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureEncoding => "signature_encoding",
            Self::TooManySignatures => "too_many_signatures",
            Self::HeaderTwice { .. } => "header_twice",
            Self::HeaderNotText { .. } => "header_not_text",
            Self::IdMissing => "id_missing",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampTooOld { .. } => "timestamp_too_old",
            Self::TimestampTooNew { .. } => "timestamp_too_new",
            Self::HeaderMissing { .. } => "header_missing",
            Self::FieldNotText => "field_not_text",
            Self::BodyHash => "body_hash",
            Self::CertificateUrl => "certificate_url",
            Self::CertificateUnknown { .. } => "certificate_unknown",
            Self::CertificateExpired => "certificate_expired",
            Self::SecretExpired { .. } => "secret_expired",
            Self::NoSecretMatched => "no_secret_matched",
        }
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Twice { header } => Self::HeaderTwice { header },
            HeaderError::NotText { header } => Self::HeaderNotText { header },
        }
    }
}
