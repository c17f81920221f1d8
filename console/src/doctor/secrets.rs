//! Whether every secret that the configuration names is there, and is one. What it is, is never told.

use shared::config::{Config, SecretError, SecretRef, SourceConfig, Verification};
use shared::error_chain::error_chain;
use shared::verification::Verifier;
use time::OffsetDateTime;

use super::finding::Findings;

/// How long before its end a secret is warned of.
const SOON: time::Duration = time::Duration::days(7);

/// Looks for the secrets of all sources and calls.
pub(super) async fn look(config: &Config, found: &mut Findings) {
    let before = config.sources.len() + config.effects.http.len();
    if before == 0 {
        found.skip("all of it", "no source and no call has a secret");
    }
    for (name, source) in &config.sources {
        let subject = format!("sources.{name}");
        if source.verification == Some(Verification::None) {
            found.skip(subject, "its webhooks are not verified");
            continue;
        }
        credentials(config, &subject, source, found);
        endings(&subject, source, found);
        if let Some(token) = &source.verify_token {
            one(&format!("{subject}.verify_token"), token, found);
        }
    }
    for (name, call) in &config.effects.http {
        let key = |what: &str| format!("effects.http.{name}.{what}");
        call.secret.iter().for_each(|secret| one(&key("secret"), secret, found));
        call.bearer.iter().for_each(|bearer| one(&key("bearer"), bearer, found));
    }
}

/// All secrets of a source, as ingest would take them.
fn credentials(config: &Config, subject: &str, source: &SourceConfig, found: &mut Findings) {
    let credentials = match source.credentials() {
        Ok(credentials) => credentials,
        Err(errors) => {
            errors.iter().for_each(|error| missing(subject, error, found));
            return;
        }
    };
    let Ok(providers) = config.catalogue() else { return };
    let Some(provider) = providers.get(source.provider.as_str()) else { return };
    match Verifier::new(provider, credentials) {
        Ok(_) => found.ok(subject, format!("{} secrets, as {} has them", source.secrets.len(), provider.title())),
        Err(error) => {
            let mend = format!("copy the secret from {} again, whole and without blanks", provider.title());
            found.fail(subject, error_chain(&error), mend);
        }
    }
}

/// Secrets that prove nothing any more, or soon will not.
fn endings(subject: &str, source: &SourceConfig, found: &mut Findings) {
    let now = OffsetDateTime::now_utc();
    let lasting = source.secrets.iter().any(|secret| secret.not_after.is_none_or(|end| end > now + SOON));
    for secret in &source.secrets {
        let Some(end) = secret.not_after else { continue };
        let place = secret.place.place();
        match (end <= now, lasting) {
            (true, true) => found.warn(subject, format!("{place} ended at {end}"), "take it out of the configuration"),
            (_, false) => {
                let mend = "add the secret that follows it; until then the provider's webhooks are refused";
                found.fail(subject, format!("{place} ends at {end}, and no secret lasts longer"), mend);
            }
            (false, true) => {}
        }
    }
}

fn one(subject: &str, secret: &SecretRef, found: &mut Findings) {
    match secret.resolve() {
        Ok(_) => found.ok(subject, format!("{} is set", secret.place())),
        Err(error) => missing(subject, &error, found),
    }
}

fn missing(subject: &str, error: &SecretError, found: &mut Findings) {
    let mend = "set it where ingest and the workers run, and for this command too";
    found.fail(subject, error_chain(error), mend);
}
