//! Search keys: what a person may know a webhook by, taken out of its body by jq.
//!
//! A key is a comfort and never a condition: an expression that fails on a body yields none, and the webhook goes its
//! way. Bounded: values that are too long are left out, and so are those beyond the first [`MAX_VALUES`].

use serde_json::Value;

use super::{Body, Expression, PlannerMistake};
use crate::config::Config;
use crate::name::Name;

/// The most values that one key may have in one webhook.
const MAX_VALUES: usize = 16;
/// The longest value, in bytes.
const MAX_VALUE_BYTES: usize = 255;

/// One value that a webhook can be found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchKey {
    /// What the source calls the key.
    pub name: Name,
    /// The value, in lower case, without white space around it or a number sign before it; 1 to 255 bytes.
    pub value: String,
}

/// The search keys of all sources, compiled.
pub(super) struct SearchKeys(Vec<(Name, Vec<(Name, Expression)>)>);

impl SearchKeys {
    pub(super) fn compile(config: &Config, mistakes: &mut Vec<PlannerMistake>) -> Self {
        let mut sources = Vec::new();
        for (source, settings) in &config.sources {
            let mut keys = Vec::new();
            for (name, expression) in &settings.search_keys {
                match Expression::compile(expression) {
                    Ok(compiled) => keys.push((name.clone(), compiled)),
                    Err(error) => mistakes.push(PlannerMistake {
                        key: format!("sources.{source}.search_keys.{name}"),
                        problem: error.to_string(),
                    }),
                }
            }
            if !keys.is_empty() {
                sources.push((source.clone(), keys));
            }
        }
        Self(sources)
    }

    /// Whether a source's webhooks have keys at all.
    pub(super) fn wants(&self, source: &Name) -> bool {
        self.0.iter().any(|(known, _keys)| known == source)
    }

    /// The keys of a body, each once, in order.
    pub(super) fn of(&self, source: &Name, body: &Body) -> Vec<SearchKey> {
        let keys = self.0.iter().filter(|(known, _keys)| known == source).flat_map(|(_source, keys)| keys);
        let mut found = Vec::new();
        for (name, expression) in keys {
            let outputs: Vec<Value> = expression.run(body).unwrap_or_default();
            let values = outputs.iter().filter_map(value).take(MAX_VALUES);
            found.extend(values.map(|value| SearchKey { name: name.clone(), value }));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A text as it is kept and looked for. Whether somebody writes `#1001` or `1001` is the same.
#[must_use]
pub fn normal(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('#').unwrap_or(text).trim_start().to_lowercase();
    // Postgres' text holds no NUL.
    (!text.is_empty() && text.len() <= MAX_VALUE_BYTES && !text.contains('\0')).then_some(text)
}

fn value(output: &Value) -> Option<String> {
    match output {
        Value::String(text) => normal(text),
        Value::Number(number) => normal(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(expression: &str, body: &str) -> Vec<(String, String)> {
        let text = format!(
            "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{{ env = \"X\" }}]\nsearch_keys = {{ key = '{expression}' }}\n"
        );
        let config = Config::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        let mut mistakes = Vec::new();
        let compiled = SearchKeys::compile(&config, &mut mistakes);
        assert_eq!(mistakes, []);
        let body = Body::parse(body.as_bytes()).unwrap();
        let found = compiled.of(&Name::try_from("shop").unwrap(), &body);
        found.into_iter().map(|key| (key.name.to_string(), key.value)).collect()
    }

    fn values(expression: &str, body: &str) -> Vec<String> {
        keys(expression, body).into_iter().map(|(_name, value)| value).collect()
    }

    #[test]
    fn strings_and_numbers_are_keys_in_the_form_they_are_looked_for() {
        assert_eq!(keys(".name", r##"{"name":" #1001 "}"##), [("key".to_owned(), "1001".to_owned())]);
        assert_eq!(
            values(".id, .email", r#"{"id":820982911946154508,"email":"Ada@Shop.Example"}"#),
            ["820982911946154508", "ada@shop.example"]
        );
        assert_eq!([normal("#1001"), normal(" # 1001"), normal("#")], [Some("1001".into()), Some("1001".into()), None]);
        assert_eq!(values(".lines[].sku", r#"{"lines":[{"sku":"A"},{"sku":"b"},{"sku":"a"}]}"#), ["a", "b"]);
    }

    #[test]
    fn what_is_no_key_is_left_out_and_fails_nothing() {
        for body in [r#"{"k":null}"#, r#"{"k":{"a":1}}"#, r#"{"k":""}"#, r#"{"k":"a\u0000b"}"#, "{}"] {
            assert_eq!(values(".k", body), Vec::<String>::new(), "{body}");
        }
        assert_eq!(values(".k.deep", r#"{"k":1}"#), Vec::<String>::new(), "an expression that fails");
        assert_eq!(values(".k", &format!(r#"{{"k":"{}"}}"#, "x".repeat(256))), Vec::<String>::new());
        assert_eq!(values("range(100)", "{}").len(), MAX_VALUES);
    }
}
