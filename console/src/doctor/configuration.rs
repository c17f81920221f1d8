//! `oncehook.toml` and what it refers to.

use shared::config::{Config, Verification};
use shared::error_chain::error_chain;
use shared::provider::{Catalogue, Provider};

use super::finding::Findings;
use crate::settings::Settings;

const HOURS: u64 = 3_600;

/// Reads the configuration; `None` when it has mistakes.
pub(super) fn read(settings: &Settings, found: &mut Findings) -> Option<Config> {
    let file = settings.config.display().to_string();
    let config = match Config::load(&settings.config) {
        Ok(config) => config,
        Err(error) => {
            let mend = "mend what is named, or name the right file with --config or ONCEHOOK_CONFIG; \
                        the file that comes with Oncehook explains every setting";
            found.fail(file, error_chain(&error), mend);
            return None;
        }
    };
    let effects = config.effects.inventory.len() + config.effects.email.len() + config.effects.http.len();
    let counts = [(config.sources.len(), "sources"), (config.routes.len(), "routes"), (effects, "effects")];
    found.ok(file, counts.map(|(count, what)| format!("{what}: {count}")).join(", "));
    if config.sources.is_empty() {
        found.warn("sources", "there are none: every webhook is answered 404", "add a [sources.NAME]");
    }
    for (name, source) in &config.sources {
        if source.verification == Some(Verification::None) {
            let problem = "whoever reaches its URL may send: nothing is verified";
            found.warn(format!("sources.{name}"), problem, "give it secrets, or let a proxy decide who may send");
        }
    }
    match config.catalogue() {
        Ok(providers) => retention(&config, &providers, found),
        Err(error) => found.fail("providers_dir", error_chain(&error), "mend the provider file that is named"),
    }
    Some(config)
}

/// Ids must outlive the providers' retries. A shorter retention does not get past reading the file.
fn retention(config: &Config, providers: &Catalogue, found: &mut Findings) {
    let sources = config.sources.values();
    let used = sources.filter_map(|source| providers.get(source.provider.as_str()));
    let days = config.retention.processed_days;
    let longest = used.max_by_key(|provider| provider.retry_horizon());
    let beside = longest.map(|provider: &Provider| {
        let hours = provider.retry_horizon().as_secs() / HOURS;
        format!("; the longest retries of a source are those of {}: {hours} h", provider.title())
    });
    found.ok("retention", format!("ids are kept for {days} days{}", beside.unwrap_or_default()));
}
