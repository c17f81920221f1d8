//! What a source must say, by what its provider signs.

use url::Url;

use super::SourceConfig;
use super::mistakes::Mistakes;
use crate::provider::{Part, Provider};

/// Secrets, or the word that there are none.
pub(super) fn credentials(key: &str, source: &SourceConfig, provider: &Provider, mistakes: &mut Mistakes) {
    let fetched = provider.signature().signed().is_some_and(|(_, rule)| rule.certificate.is_some());
    match (source.verification, source.secrets.is_empty()) {
        (None, true) if !fetched => mistakes.add(
            key,
            None,
            "no secrets: give secrets = [{ env = \"NAME\" }], or say verification = \"none\" to accept unverified webhooks",
        ),
        (Some(_), false) => {
            mistakes.add(format!("{key}.verification"), None, "secrets are given too; remove one of the two");
        }
        _ => {}
    }
}

/// Everything else that the provider's rules need, and nothing that they don't.
pub(super) fn settings(key: &str, source: &SourceConfig, provider: &Provider, mistakes: &mut Mistakes) {
    let template = provider.signature().signed().map(|(_, rule)| &rule.template);
    let verified = source.verification.is_none();
    let signs_url = template.is_some_and(|template| template.has(&Part::Url));
    match &source.public_url {
        None if signs_url && verified => {
            let problem = format!("missing: {} signs the URL that it was given", provider.title());
            mistakes.add(format!("{key}.public_url"), None, problem);
        }
        Some(_) if !signs_url => {
            mistakes.add(format!("{key}.public_url"), None, format!("{} does not sign the URL", provider.title()));
        }
        Some(url) if !is_plain_url(url) => {
            let problem =
                "give the whole URL that the provider was given, without query: \"https://host/webhooks/name\"";
            mistakes.add(format!("{key}.public_url"), None, problem);
        }
        _ => {}
    }
    let wanted: Vec<&str> = template.map(|template| template.parameters().collect()).unwrap_or_default();
    for name in wanted.iter().filter(|name| verified && !source.parameters.contains_key(**name)) {
        let problem = format!("missing: {} signs it", provider.title());
        mistakes.add(format!("{key}.parameters.{name}"), None, problem);
    }
    for name in source.parameters.keys().filter(|name| !wanted.contains(&name.as_str())) {
        mistakes.add(format!("{key}.parameters.{name}"), None, format!("{} knows no such parameter", provider.title()));
    }
    if source.verify_token.is_some() && provider.file().subscription.is_none() {
        let problem = format!("{} never asks for it", provider.title());
        mistakes.add(format!("{key}.verify_token"), None, problem);
    }
}

fn is_plain_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
}
