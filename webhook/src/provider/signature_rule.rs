//! `[signature]`: how a provider's webhooks are signed.
//!
//! Four schemes sign a template (HMAC, Ed25519, ECDSA, RSA) and share one form; two only show that the sender knows a
//! secret (token, basic). What a scheme needs beyond that is an optional key, and `check.rs` says which belongs to which.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyPath, ElementsPath, Part, Place, Template, ValuePart};

/// How a webhook is signed: one variant a scheme.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(tag = "scheme", rename_all = "kebab-case")]
pub enum SignatureRule {
    /// An HMAC over a template; `hash` says which.
    Hmac(SignedRule),
    /// Ed25519 over a template.
    Ed25519(SignedRule),
    /// ECDSA over P-256 with SHA-256, written in ASN.1 DER, over a template.
    EcdsaP256(SignedRule),
    /// RSA PKCS #1 v1.5 with SHA-256 over a template, by the key of a certificate.
    Rsa(SignedRule),
    /// The secret itself. Nothing is signed: whoever sees one request can make any other.
    Token(TokenRule),
    /// The secret is `user:password` of HTTP basic authentication (RFC 7617). Nothing is signed.
    Basic(BasicRule),
}

/// A signature over a template.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedRule {
    /// The hash function; for `hmac` only.
    pub hash: Option<Hash>,
    /// What is signed.
    pub template: Template,
    /// Where signatures are; all that are there are candidates.
    pub from: Vec<ValuePart>,
    /// How a signature is written.
    pub encoding: Encoding,
    /// How a secret becomes a key.
    pub key: KeyRule,
    /// The signed time of sending, if there is one.
    pub timestamp: Option<TimestampRule>,
    /// Path to elements that are each signed by themselves; all of them must be genuine. Paths of the template and of
    /// `from` then begin in the element.
    pub each: Option<ElementsPath>,
    /// Which ports a signed URL may have been written with.
    #[serde(default)]
    pub url_port: UrlPort,
    /// A parameter of the query that holds the body's SHA-256 in hex. Where it is given, the body must have that hash, and
    /// `{form}` is empty.
    pub body_sha256_in_query: Option<String>,
    /// Where the certificate comes from; for `rsa` only.
    pub certificate: Option<CertificateRule>,
}

/// A certificate that the provider serves, and whose URL each webhook names.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// The header with the certificate's URL.
    pub url_from: super::HeaderName,
    /// What the URL must start with: scheme, the provider's host, and the beginning of the path.
    pub url_prefixes: Vec<String>,
    /// What the name that the certificate is for must end with.
    pub name_suffix: String,
}

/// A secret that is sent as it is.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenRule {
    /// Where it is; the first that is there counts.
    pub from: Vec<ValuePart>,
}

/// HTTP basic authentication, in the header `Authorization`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BasicRule {}

/// Where the signed time of sending is, and how far off it may be.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// Places in the order of looking; the first that is there counts.
    pub from: Vec<ValuePart>,
    /// How it is written.
    pub unit: TimestampUnit,
    /// How far it may be from the time of receipt, to either side, in seconds.
    pub tolerance_seconds: u32,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Decimal seconds since 1970.
    Seconds,
    /// Decimal milliseconds since 1970.
    Milliseconds,
    /// `2026-11-23T14:30:00Z` and its like (RFC 3339).
    Rfc3339,
}

/// A hash function for HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-1: broken for signatures, not known to be for HMAC. For providers that offer nothing else.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Lower-case hexadecimal. Upper case is refused, as the providers' own libraries do.
    Hex,
    /// Base64, standard alphabet, padded (RFC 4648, section 4).
    Base64,
}

/// How a secret, as people copy it from the provider's page, becomes a key.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRule {
    /// How the secret is read after the prefix.
    pub encoding: KeyEncoding,
    /// Cut off if the secret starts with it.
    #[serde(default)]
    pub prefix: String,
}

/// How a secret is read. A public key is the key's own bytes for Ed25519, else a SubjectPublicKeyInfo in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// The secret's own bytes.
    Raw,
    /// Base64, standard alphabet, padding optional.
    Base64,
    /// Hexadecimal, either case.
    Hex,
    /// PEM: a certificate or a public key.
    Pem,
}

/// Which ports a signed URL may have been written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UrlPort {
    /// As `public_url` has it.
    #[default]
    AsGiven,
    /// Without one, and with the scheme's own.
    Either,
}

/// What makes and checks a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC: one secret signs and verifies.
    Hmac(Hash),
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    EcdsaP256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rsa,
}

impl SignatureRule {
    /// The algorithm and its rule, if the scheme signs anything.
    #[must_use]
    pub fn signed(&self) -> Option<(Algorithm, &SignedRule)> {
        match self {
            Self::Hmac(rule) => Some((Algorithm::Hmac(rule.hash.unwrap_or(Hash::Sha256)), rule)),
            Self::Ed25519(rule) => Some((Algorithm::Ed25519, rule)),
            Self::EcdsaP256(rule) => Some((Algorithm::EcdsaP256, rule)),
            Self::Rsa(rule) => Some((Algorithm::Rsa, rule)),
            Self::Token(_) | Self::Basic(_) => None,
        }
    }

    /// Where signatures or tokens are.
    #[must_use]
    pub fn places(&self) -> &[ValuePart] {
        match self {
            Self::Hmac(rule) | Self::Ed25519(rule) | Self::EcdsaP256(rule) | Self::Rsa(rule) => &rule.from,
            Self::Token(rule) => &rule.from,
            Self::Basic(_) => &[],
        }
    }

    /// The scheme's name, as the file writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "hmac",
            Self::Ed25519(_) => "ed25519",
            Self::EcdsaP256(_) => "ecdsa-p256",
            Self::Rsa(_) => "rsa",
            Self::Token(_) => "token",
            Self::Basic(_) => "basic",
        }
    }
}

impl SignedRule {
    /// Whether every byte of the body is covered. A CRC does not count: who holds one signature can make another body
    /// with the same CRC.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.template.has(&Part::Body) || self.template.has(&Part::Form)
    }

    /// Whether the signature covers what stands at `place`.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        let field = |path: &BodyPath| self.template.has(&Part::Field(path.clone()));
        match place {
            Place::Header(name) | Place::HeaderAndBodyHash(name) => {
                let this = |part: &Part| matches!(part, Part::Header(header) if header.same_as(name));
                self.template.has(&Part::Id) || self.template.parts().iter().any(this)
            }
            Place::Body(path) => self.covers_body() || field(path),
            Place::BodyJoin(paths) => self.covers_body() || paths.iter().all(field),
            Place::Form(_) | Place::BodyHash(_) | Place::Fixed(_) => self.covers_body(),
        }
    }

    /// Whether the time of sending stands in the body.
    #[must_use]
    pub fn timestamp_in_body(&self) -> bool {
        self.timestamp.as_ref().is_some_and(|rule| rule.from.iter().any(|part| part.body().is_some()))
    }

    /// Whether a time of sending is checked that the signature covers.
    #[must_use]
    pub fn covers_timestamp(&self) -> bool {
        let in_body = |part: &ValuePart| part.body().is_some_and(|path| self.covers(&Place::Body(path.clone())));
        let rule = self.timestamp.as_ref();
        rule.is_some_and(|rule| self.template.has(&Part::Timestamp) || rule.from.iter().all(in_body))
    }
}
