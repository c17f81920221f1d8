//! The configured sources, ready to receive: provider found, secrets fetched, keys decoded.
//!
//! All of it happens at start, and every mistake is told at once: a source that can't verify must not be found
//! out by its first webhook. What the configuration file alone can tell (unknown providers, missing secrets) is
//! refused when it is read; here are the mistakes that only show once the secrets are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use shared::config::{Config, SourceConfig, Verification};
use shared::error_chain::error_chain;
use shared::name::Name;
use shared::provider::{Catalogue, Provider};
use shared::verification::{Certificates, Verifier};

use crate::subscription::Subscription;

/// One sender, ready to receive from.
pub(crate) struct Source {
    pub(crate) name: Name,
    pub(crate) provider: Provider,
    pub(crate) verifier: Verifier,
    pub(crate) max_body_bytes: usize,
    /// For providers that ask whether the URL is ours.
    pub(crate) subscription: Option<Subscription>,
    /// What a fetched certificate must be for.
    pub(crate) certificate_suffix: String,
}

/// All of them, by name. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sources(Arc<BTreeMap<Name, Source>>);

/// Why sources can't receive; one line each, none with a secret in it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct SourcesError(Vec<String>);

impl Sources {
    /// All sources of the configuration. Certificates that are fetched are to be put into `certificates`.
    pub(crate) fn build(
        config: &Config,
        catalogue: &Catalogue,
        certificates: &Certificates,
    ) -> Result<Self, SourcesError> {
        let mut sources = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (name, settings) in &config.sources {
            match source(name, settings, catalogue, certificates) {
                Ok(source) => {
                    if settings.verification == Some(Verification::None) {
                        tracing::warn!(webhook.source = %name, "webhooks of this source are not verified: anyone who reaches the URL may send");
                    }
                    sources.insert(name.clone(), source);
                }
                Err(found) => mistakes.extend(found.into_iter().map(|mistake| format!("sources.{name}: {mistake}"))),
            }
        }
        if mistakes.is_empty() { Ok(Self(Arc::new(sources))) } else { Err(SourcesError(mistakes)) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Source> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.values()
    }
}

fn source(
    name: &Name,
    settings: &SourceConfig,
    catalogue: &Catalogue,
    certificates: &Certificates,
) -> Result<Source, Vec<String>> {
    let Some(provider) = catalogue.get(settings.provider.as_str()) else {
        let known = catalogue.iter().map(|provider| provider.name().as_str()).collect::<Vec<_>>().join(", ");
        return Err(vec![format!("there is no provider {}; there are {known}", settings.provider)]);
    };
    Ok(Source {
        name: name.clone(),
        provider: provider.clone(),
        verifier: verifier(settings, provider, certificates)?,
        max_body_bytes: usize::try_from(settings.max_body_bytes).unwrap_or(usize::MAX),
        subscription: subscription(settings, provider)?,
        certificate_suffix: certificate_suffix(provider),
    })
}

fn verifier(
    settings: &SourceConfig,
    provider: &Provider,
    certificates: &Certificates,
) -> Result<Verifier, Vec<String>> {
    if settings.verification == Some(Verification::None) {
        return Ok(Verifier::unchecked());
    }
    let credentials =
        settings.credentials().map_err(|errors| errors.iter().map(|error| error_chain(error)).collect::<Vec<_>>())?;
    Verifier::with_certificates(provider, credentials, certificates.clone()).map_err(|error| vec![error.to_string()])
}

fn subscription(settings: &SourceConfig, provider: &Provider) -> Result<Option<Subscription>, Vec<String>> {
    let (Some(rule), Some(place)) = (&provider.file().subscription, &settings.verify_token) else { return Ok(None) };
    let token = place.resolve().map_err(|error| vec![error_chain(&error)])?;
    Ok(Some(Subscription::new(rule, token.expose_secret())))
}

fn certificate_suffix(provider: &Provider) -> String {
    let rule = provider.signature().signed().and_then(|(_, rule)| rule.certificate.as_ref());
    rule.map(|rule| rule.name_suffix.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(toml: &str) -> Result<Sources, SourcesError> {
        let config = Config::parse("oncehook.toml", toml).unwrap();
        Sources::build(&config, &Catalogue::built_in().unwrap(), &Certificates::default())
    }

    #[test]
    fn every_mistake_is_told_and_no_secret() {
        let error = build(
            r#"
            [sources.a]
            provider = "github"
            secrets = [{ env = "NOT_SET_ANYWHERE" }, { file = "/nowhere/at/all" }]
            [sources.b]
            provider = "standard-webhooks"
            secrets = [{ env = "PATH" }]
            [sources.c]
            provider = "github"
            secrets = [{ env = "PATH" }]
            "#,
        )
        .err()
        .unwrap()
        .to_string();
        for said in [
            "sources.a: the environment variable NOT_SET_ANYWHERE is not set",
            "sources.a: cannot read /nowhere/at/all",
            "sources.b: secret 1 is not base64 after \"whsec_\"",
        ] {
            assert!(error.contains(said), "{said} is not in: {error}");
        }
        assert!(!error.contains("sources.c"), "{error}");
        assert!(!error.contains(&std::env::var("PATH").unwrap()));
    }

    #[test]
    fn a_source_may_say_that_it_does_not_verify() {
        let sources = build("[sources.open]\nprovider = \"generic\"\nverification = \"none\"\n").unwrap();
        assert!(sources.get("open").is_some());
        assert!(sources.get("other").is_none());
    }
}
