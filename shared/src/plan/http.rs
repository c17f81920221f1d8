//! The `http` effect: one call a business key, to a URL that the configuration names.
//!
//! The body is made while planning, so that a mapping that fails parks the webhook with a reason. Where the call
//! goes, and what signs it, is not part of the intent: secrets stay out of the database, and a mended URL holds for
//! the calls that wait.

use serde::Deserialize;
use url::{Host, Url};

use super::effect::{Effect, EffectMistake, KeyText, Kind};
use super::{Body, Call, CallBody, Expression, Plan, PlanError, Subject};
use crate::address::is_public;
use crate::config::{AmbiguousPolicy, HttpEffectConfig};
use crate::name::Name;

/// The longest body of a call, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

pub(super) struct HttpEffect {
    name: Name,
    map: Expression,
    on_ambiguous: AmbiguousPolicy,
}

impl Kind for HttpEffectConfig {
    const KIND: &'static str = "http";
}

/// One call, as the mapping yields it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    key: KeyText,
    body: serde_json::Value,
}

/// Where an effect's calls go: a URL that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Url);

/// Why a URL is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Not a URL.
    #[error("not a URL such as https://service.example/hooks: {0}")]
    Malformed(#[from] url::ParseError),
    /// Neither http nor https.
    #[error("its scheme is {0}; it needs https, or http")]
    Scheme(String),
    /// A user or password in it would end up in logs.
    #[error("it holds a user or a password; use bearer or secret")]
    Credentials,
    /// An address of a private network, in whatever notation.
    #[error("{0} is an address of a private network; say allow_private = true if that is meant")]
    Private(String),
}

impl Destination {
    /// Checks a URL. A name is looked up only when a call is made.
    ///
    /// # Errors
    /// When it cannot be called, or must not be.
    pub fn parse(url: &str, allow_private: bool) -> Result<Self, DestinationError> {
        let url = Url::parse(url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DestinationError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(DestinationError::Credentials);
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        match literal {
            Some(address) if !allow_private && !is_public(address) => {
                Err(DestinationError::Private(address.to_string()))
            }
            _ => Ok(Self(url)),
        }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl HttpEffect {
    pub(super) fn compile(name: &Name, config: &HttpEffectConfig) -> Result<Self, Vec<EffectMistake>> {
        let destination = Destination::parse(&config.url, config.allow_private);
        let map = Expression::compile(&config.map);
        let mut mistakes = Vec::new();
        mistakes.extend(destination.err().map(|error| EffectMistake { key: "url", problem: error.to_string() }));
        match map {
            Ok(map) if mistakes.is_empty() => Ok(Self { name: name.clone(), map, on_ambiguous: config.on_ambiguous }),
            Ok(_) => Err(mistakes),
            Err(error) => {
                mistakes.push(EffectMistake { key: "map", problem: error.to_string() });
                Err(mistakes)
            }
        }
    }

    fn call(&self, source: &Name, wanted: Wanted) -> Result<Call, PlanError> {
        let key = wanted.key.checked(&self.name, "key")?;
        let json = wanted.body.to_string();
        if json.len() > MAX_BODY_BYTES {
            let problem = format!("the body of {key} has {} bytes; at most {MAX_BODY_BYTES}", json.len());
            return Err(PlanError::Value { effect: self.name.clone(), problem });
        }
        Ok(Call {
            effect: self.name.clone(),
            dedupe_key: format!("{}/{source}/{key}", self.name),
            body: CallBody { json },
            on_ambiguous: self.on_ambiguous,
        })
    }
}

impl Effect for HttpEffect {
    fn plan(&self, subject: Subject<'_>, body: &Body, plan: &mut Plan) -> Result<(), PlanError> {
        let wanted = self.map.run::<Wanted>(body);
        for wanted in wanted.map_err(|error| PlanError::Mapping { effect: self.name.clone(), error })? {
            plan.calls.push(self.call(subject.source, wanted)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_http_without_credentials_and_not_private_in_any_notation() {
        for public in ["https://service.example/hooks?a=b", "http://93.184.216.34:8080/"] {
            assert!(Destination::parse(public, false).is_ok(), "{public}");
        }
        let private = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0177.0.0.1", "10.1", "0"];
        for host in private {
            let url = format!("http://{host}:9/x");
            assert!(matches!(Destination::parse(&url, false), Err(DestinationError::Private(_))), "{url}");
            assert!(Destination::parse(&url, true).is_ok(), "{url}");
        }
        for wrong in ["", "service.example", "ftp://service.example", "http://", "http://me:hush@service.example"] {
            let error = Destination::parse(wrong, true).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
