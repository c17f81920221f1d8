//! All known providers. The built-in ones are listed in one place: the macro call of `built_in` below. A folder of the
//! user's own may add others or take their place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::name::Name;

use super::{Provider, ProviderError};

/// One built-in provider: its name, its file, and its sample webhooks.
struct BuiltIn {
    name: &'static str,
    path: &'static str,
    text: &'static str,
    samples: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn {
            name: $name,
            path: concat!("providers/", $name, ".toml"),
            text: include_str!(concat!("../../../providers/", $name, ".toml")),
            samples: include_str!(concat!("../../../providers/fixtures/", $name, ".toml")),
        }),*]
    };
}

/// The registration list: one line a provider.
const BUILT_IN: &[BuiltIn] = built_in![
    "adyen",
    "adyen-platform",
    "bigcommerce",
    "bitbucket",
    "calendly",
    "coinbase-commerce",
    "discord",
    "docusign",
    "generic",
    "github",
    "gitlab",
    "gitlab-token",
    "hubspot",
    "intercom",
    "klaviyo",
    "linear",
    "mailgun",
    "meta",
    "paddle",
    "paypal",
    "quickbooks",
    "razorpay",
    "sendgrid",
    "shopify",
    "slack",
    "square",
    "standard-webhooks",
    "standard-webhooks-v1a",
    "stripe",
    "twilio",
    "typeform",
    "woocommerce",
    "xero",
    "zendesk",
    "zoom",
];

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    providers: BTreeMap<Name, Provider>,
}

impl Catalogue {
    /// The providers that come with Oncehook.
    ///
    /// # Errors
    /// [`ProviderError`] if one of the files is wrong, which the tests rule out.
    pub fn built_in() -> Result<Self, ProviderError> {
        let mut catalogue = Self::default();
        for built_in in BUILT_IN {
            let provider = Provider::parse(built_in.name, built_in.path, built_in.text)?;
            catalogue.insert(provider.with_samples(built_in.samples));
        }
        Ok(catalogue)
    }

    /// The built-in providers, and those of a folder: each `*.toml` in it is one, `fixtures/*.toml` its samples. A provider
    /// of a built-in one's name takes its place.
    ///
    /// # Errors
    /// [`CatalogueError`] with every file that can't be read or is wrong.
    pub fn load(folder: Option<&Path>) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::built_in().map_err(|error| CatalogueError(vec![error]))?;
        let Some(folder) = folder else { return Ok(catalogue) };
        let mut errors = Vec::new();
        for path in files(folder).map_err(|error| CatalogueError(vec![error]))? {
            match read(&path) {
                Ok(provider) => catalogue.insert(provider),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(catalogue) } else { Err(CatalogueError(errors)) }
    }

    /// Adds a provider; one of the same name is replaced.
    pub fn insert(&mut self, provider: Provider) {
        self.providers.insert(provider.name().clone(), provider);
    }

    /// The provider of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.providers.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }
}

/// Every provider file that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CatalogueError(pub Vec<ProviderError>);

/// The provider files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ProviderError> {
    let unreadable = |source| ProviderError::Unreadable { path: folder.display().to_string(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Provider, ProviderError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| ProviderError::Unreadable { path: shown.clone(), source })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let provider = Provider::parse(&name, &shown, &text)?;
    let samples = path.file_name().and_then(|file| Some(path.parent()?.join("fixtures").join(file)));
    let samples = samples.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    Ok(provider.with_samples(samples))
}
