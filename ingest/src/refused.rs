//! Every way in which ingest does not accept a webhook: a closed set, from the HTTP method to the disk.
//!
//! Listed in the order in which they are decided, so a request with several faults always gets the same answer.
//! What each looks like on the wire is `problem.rs`.

use shared::provider::IdentityError;
use shared::verification::Refusal;

use crate::certificates::NotFetched;
use crate::durable::NotKept;
use crate::outcome::Outcome;

/// Why a webhook was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 405: not a POST.
    Method,
    /// 404: no such path.
    Path,
    /// 404: no such source.
    Source,
    /// 415: the body is compressed, and the signature is over something else than what came.
    ContentEncoding,
    /// 413: announced or found to be larger than the source allows.
    TooLarge {
        /// What the source allows.
        limit_bytes: usize,
    },
    /// 408: the body took too long.
    TooSlow,
    /// 400: the body ended early, or its framing is broken.
    BrokenBody,
    /// 401: not genuine.
    Signature(Refusal),
    /// 503: not known to be genuine: the provider's certificate is not at hand.
    Certificate(NotFetched),
    /// 400: genuine, without a usable id or topic.
    Identity(IdentityError),
    /// 503: as many webhooks in flight, or bytes of them, as are allowed.
    Overloaded,
    /// 503: not known to be durable.
    NotKept(NotKept),
}

impl Refused {
    /// How metrics and logs call it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Method => Outcome::MethodNotAllowed,
            Self::Path => Outcome::NotFound,
            Self::Source => Outcome::UnknownSource,
            Self::ContentEncoding => Outcome::ContentEncoding,
            Self::TooLarge { .. } => Outcome::TooLarge,
            Self::Overloaded => Outcome::Overloaded,
            Self::TooSlow => Outcome::TooSlow,
            Self::BrokenBody => Outcome::BrokenBody,
            Self::Signature(_) => Outcome::SignatureRefused,
            Self::Certificate(_) => Outcome::NoCertificate,
            Self::Identity(_) => Outcome::Malformed,
            Self::NotKept(_) => Outcome::Unavailable,
        }
    }

    /// Whether the sender may go on on its connection. One that has not signed may not: it would keep the connection from
    /// others; nor may one whose body was not read to its end.
    pub(crate) fn keeps_connection(&self) -> bool {
        matches!(self, Self::Identity(_) | Self::NotKept(_))
    }

    /// The finer reason, for logs.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Signature(refusal) => Some(refusal.code()),
            Self::Certificate(error) => Some(error.reason()),
            Self::Identity(error) => Some(error.code()),
            Self::NotKept(error) => Some(error.reason()),
            _ => None,
        }
    }
}
