//! All known providers. The built-in ones are listed in one place: the macro call of `built_in` below.

use std::collections::BTreeMap;

use crate::name::Name;

use super::{Provider, ProviderError};

/// Name, path and text of each built-in provider file.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((
            $name,
            concat!("providers/", $name, ".toml"),
            include_str!(concat!("../../../providers/", $name, ".toml")),
        )),*]
    };
}

/// The registration list: one line a provider.
const BUILT_IN: &[(&str, &str, &str)] = built_in!["generic", "github", "shopify", "standard-webhooks",];

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
        for (name, path, text) in BUILT_IN {
            catalogue.insert(Provider::parse(name, path, text)?);
        }
        Ok(catalogue)
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
