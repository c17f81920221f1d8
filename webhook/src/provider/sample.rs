//! Sample webhooks of a provider, from its file in `fixtures/`: what `oncehook send` sends when it is given no body.

use serde::Deserialize;

/// One webhook as the provider sends it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sample {
    /// Its id; not there if the body holds several webhooks.
    pub id: Option<String>,
    /// Its topic.
    pub topic: String,
    /// The raw body.
    pub body: String,
    /// The body's media type, if it is not JSON.
    pub content_type: Option<String>,
}

#[derive(Deserialize, Default)]
struct Samples {
    #[serde(default)]
    webhook: Vec<Sample>,
}

/// Reads the samples out of a fixture; none if it can't be read: they are a convenience.
pub(super) fn read(text: &str) -> Vec<Sample> {
    toml::from_str::<Samples>(text).unwrap_or_default().webhook
}
