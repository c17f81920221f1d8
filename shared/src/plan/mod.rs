//! Planning: from a webhook's body to intents, pure and without I/O.
//!
//! A route (sources, topics, a jq filter) names effects; each effect's jq mapping turns the body
//! into intents. Applying them is the transaction's business. So a plan can be shown without being
//! run, and tested without a database.

mod effect;
mod email;
mod expression;
mod http;
mod intent;
mod inventory;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::effect::Effect;
pub use self::expression::{Body, CompileError, Expression, ExpressionError};
pub use self::http::{Destination, DestinationError};
pub use self::intent::{Call, CallBody, Decrement, Email, Letter, Plan, PlanError, Skip};
use self::search::SearchKeys;
pub use self::search::{SearchKey, normal};
use crate::config::{Config, EffectsConfig, RouteConfig};
use crate::name::Name;

/// The longest business key, order id, line id or SKU, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// What planning looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The source that sent the webhook.
    pub source: &'a Name,
    /// Its topic, as the provider names it.
    pub topic: &'a str,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

/// All routes and effects, compiled.
pub struct Planner {
    routes: Vec<Route>,
    search_keys: SearchKeys,
}

struct Route {
    name: Name,
    config: RouteConfig,
    filter: Option<Expression>,
    effects: Vec<(Name, std::sync::Arc<dyn Effect>)>,
}

/// One thing in routes or effects that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannerMistake {
    /// The key's path in the configuration.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Planner {
    /// Compiles every filter, mapping and template.
    ///
    /// # Errors
    /// All that does not compile, and every reference to an effect that is not there.
    pub fn compile(config: &Config) -> Result<Self, Vec<PlannerMistake>> {
        let mut mistakes = Vec::new();
        let effects = compile_effects(&config.effects, &mut mistakes);
        let mut routes = Vec::new();
        for (name, route) in &config.routes {
            routes.push(compile_route(name, route, &effects, &mut mistakes));
        }
        let search_keys = SearchKeys::compile(config, &mut mistakes);
        if mistakes.is_empty() { Ok(Self { routes, search_keys }) } else { Err(mistakes) }
    }

    /// What a webhook can be found by. What cannot be read has no keys.
    #[must_use]
    pub fn search_keys(&self, subject: Subject<'_>) -> Vec<SearchKey> {
        if !self.search_keys.wants(subject.source) {
            return Vec::new();
        }
        Body::parse(subject.body).map(|body| self.search_keys.of(subject.source, &body)).unwrap_or_default()
    }

    /// What is to be done for a webhook.
    ///
    /// # Errors
    /// When a filter, mapping or template fails on this body, as it will every time.
    pub fn plan(&self, subject: Subject<'_>) -> Result<Plan, PlanError> {
        let mut plan = Plan::default();
        // What cannot be read has no keys; a route that needs to read it says so.
        let keyed = self.search_keys.wants(subject.source).then(|| Body::parse(subject.body).ok());
        let mut body = keyed.flatten();
        if let Some(body) = &body {
            plan.search_keys = self.search_keys.of(subject.source, body);
        }
        let mut ran: Vec<&Name> = Vec::new();
        for route in self.routes.iter().filter(|route| route.listens_to(subject)) {
            let body = match &mut body {
                Some(parsed) => parsed,
                none => none.insert(Body::parse(subject.body).map_err(PlanError::Body)?),
            };
            if route.lets_through(body)? {
                plan.routed = true;
                for (name, effect) in &route.effects {
                    // Two routes may name one effect: it runs once.
                    if !ran.contains(&name) {
                        ran.push(name);
                        effect.plan(subject, body, &mut plan)?;
                    }
                }
            } else {
                plan.skips.push(Skip { by: route.name.to_string(), reason: "the route's filter said no".to_owned() });
            }
        }
        plan.refuse_repeated_keys()?;
        Ok(plan)
    }
}

impl Route {
    fn listens_to(&self, subject: Subject<'_>) -> bool {
        self.config.sources.contains(subject.source) && self.config.takes_topic(subject.topic)
    }

    fn lets_through(&self, body: &Body) -> Result<bool, PlanError> {
        let Some(filter) = &self.filter else { return Ok(true) };
        filter.is_true(body).map_err(|error| PlanError::Filter { route: self.name.clone(), error })
    }
}

type Effects = BTreeMap<Name, Option<std::sync::Arc<dyn Effect>>>;

/// The one list of effect kinds. A kind that does not compile stays in the map as `None`, so that
/// its routes are not blamed for it.
fn compile_effects(config: &EffectsConfig, mistakes: &mut Vec<PlannerMistake>) -> Effects {
    let mut effects = Effects::new();
    effect::register(&config.inventory, inventory::InventoryEffect::compile, &mut effects, mistakes);
    effect::register(&config.email, email::EmailEffect::compile, &mut effects, mistakes);
    effect::register(&config.http, http::HttpEffect::compile, &mut effects, mistakes);
    effects
}

fn compile_route(name: &Name, config: &RouteConfig, effects: &Effects, mistakes: &mut Vec<PlannerMistake>) -> Route {
    let mut filter = None;
    if let Some(source) = &config.filter {
        match Expression::compile(source) {
            Ok(compiled) => filter = Some(compiled),
            Err(error) => {
                mistakes.push(PlannerMistake { key: format!("routes.{name}.filter"), problem: error.to_string() });
            }
        }
    }
    let mut compiled = Vec::new();
    for (index, effect) in config.effects.iter().enumerate() {
        match effects.get(effect) {
            Some(Some(found)) => compiled.push((effect.clone(), std::sync::Arc::clone(found))),
            Some(None) => {}
            None => mistakes.push(PlannerMistake {
                key: format!("routes.{name}.effects[{index}]"),
                problem: format!("there is no effect {effect}; {}", known(effects.keys())),
            }),
        }
    }
    Route { name: name.clone(), config: config.clone(), filter, effects: compiled }
}

/// "known are a, b" for a message.
pub(crate) fn known<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<&str> = names.map(Name::as_str).collect();
    if names.is_empty() { "none is configured".to_owned() } else { format!("known are {}", names.join(", ")) }
}
