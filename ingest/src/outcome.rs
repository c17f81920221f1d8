//! How a request can end: a closed set, the label of the metrics and the field of the logs.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Accepted,
    /// Answered at once; no webhook.
    Handshake,
    MethodNotAllowed,
    NotFound,
    UnknownSource,
    ContentEncoding,
    TooLarge,
    Overloaded,
    TooSlow,
    BrokenBody,
    SignatureRefused,
    NoCertificate,
    Malformed,
    Unavailable,
    /// The sender hung up before there was an answer.
    Aborted,
}

impl Outcome {
    /// Those that a request to a configured source can have.
    pub(crate) const OF_SOURCES: [Self; 12] = [
        Self::Accepted,
        Self::Handshake,
        Self::ContentEncoding,
        Self::TooLarge,
        Self::Overloaded,
        Self::TooSlow,
        Self::BrokenBody,
        Self::SignatureRefused,
        Self::NoCertificate,
        Self::Malformed,
        Self::Unavailable,
        Self::Aborted,
    ];

    /// The label and the log field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Handshake => "handshake",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::UnknownSource => "unknown_source",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "too_slow",
            Self::BrokenBody => "broken_body",
            Self::SignatureRefused => "signature_refused",
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
            Self::Aborted => "aborted",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}
