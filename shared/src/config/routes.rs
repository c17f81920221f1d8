//! `[routes.NAME]`: which webhooks run which effects.

use garde::Validate;
use serde::Deserialize;

use crate::name::Name;

/// Webhooks of these sources and topics that pass the filter run these effects.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The sources it listens to.
    #[garde(length(min = 1))]
    pub sources: Vec<Name>,
    /// The topics it takes, as the provider names them; `*` takes all.
    #[garde(length(min = 1))]
    pub topics: Vec<String>,
    /// A jq expression over the body. Only `true` lets a webhook through; any other value drops
    /// it from this route. Absent: all pass.
    #[garde(skip)]
    pub filter: Option<String>,
    /// The effects to run, by name.
    #[garde(length(min = 1))]
    pub effects: Vec<Name>,
}

impl RouteConfig {
    /// Whether the route takes a topic.
    #[must_use]
    pub fn takes_topic(&self, topic: &str) -> bool {
        self.topics.iter().any(|taken| taken == "*" || taken == topic)
    }
}
