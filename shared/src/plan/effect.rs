//! What an effect is to the planner, and how kinds of effects are registered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Body, Effects, Plan, PlanError, PlannerMistake, Subject};
use crate::config::OPERATOR_ALERT;
use crate::name::Name;

/// A configured effect: adds its intents to a plan. Pure.
pub trait Effect: Send + Sync {
    /// Adds what the webhook wants done, or why it is left out.
    ///
    /// # Errors
    /// When the mapping fails on this body, as it will every time.
    fn plan(&self, subject: Subject<'_>, body: &Body, plan: &mut Plan) -> Result<(), PlanError>;
}

/// A part of an effect that does not compile: its key within the effect, and the problem.
pub(super) struct EffectMistake {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

/// Compiles all effects of one kind; notes mistakes and names used twice.
pub(super) fn register<C, E: Effect + 'static>(
    configured: &BTreeMap<Name, C>,
    compile: impl Fn(&Name, &C) -> Result<E, Vec<EffectMistake>>,
    effects: &mut Effects,
    mistakes: &mut Vec<PlannerMistake>,
) where
    C: Kind,
{
    for (name, config) in configured {
        let key = format!("effects.{}.{name}", C::KIND);
        if effects.contains_key(name) || name.as_str() == OPERATOR_ALERT {
            let problem = "this name is taken; give the effect another one".to_owned();
            mistakes.push(PlannerMistake { key: key.clone(), problem });
        }
        let effect = match compile(name, config) {
            Ok(effect) => Some(Arc::new(effect) as Arc<dyn Effect>),
            Err(found) => {
                let located = |mistake: EffectMistake| PlannerMistake {
                    key: format!("{key}.{}", mistake.key),
                    problem: mistake.problem,
                };
                mistakes.extend(found.into_iter().map(located));
                None
            }
        };
        effects.insert(name.clone(), effect);
    }
}

/// The name of a kind in the configuration, `effects.KIND.NAME`.
pub(super) trait Kind {
    const KIND: &'static str;
}

/// A business key as jq gives it: text, or a number that stands for its digits.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum KeyText {
    Text(String),
    Number(serde_json::Number),
}

impl KeyText {
    /// The key, if it is one: not empty, not too long, no control characters.
    pub(super) fn checked(self, effect: &Name, field: &str) -> Result<String, PlanError> {
        let wrong = |problem: String| PlanError::Value { effect: effect.clone(), problem };
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) if number.is_f64() => {
                // Rounded digits could make two keys one: the second order would be taken for the first.
                return Err(wrong(format!("{field} is a fraction or beyond 64 bits; make it text with tostring")));
            }
            Self::Number(number) => number.to_string(),
        };
        if text.is_empty() || text.len() > super::MAX_KEY_BYTES {
            return Err(wrong(format!("{field} has {} bytes; it needs 1 to {}", text.len(), super::MAX_KEY_BYTES)));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong(format!("{field} contains a control character")));
        }
        Ok(text)
    }
}
