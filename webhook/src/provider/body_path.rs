//! A path into a JSON body, and reading the one value it leads to.
//!
//! Only the values on the path are looked at; the rest of the body is skipped without being built. Where an
//! object has a key twice the last one counts, as it does for the jq expressions that run on the body later:
//! both must see the same webhook. The skipped parts must be JSON too.

use std::borrow::Cow;
use std::fmt;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Object keys and array positions joined by dots, such as `data.object.id` or `entry.0.id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(test, schemars(with = "String"))]
pub struct BodyPath {
    text: String,
    steps: Vec<String>,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path into the body: 1 to 16 keys joined by dots, none of them empty, such as \"data.object.id\"")]
pub struct BodyPathError(String);

/// What a path led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'b> {
    /// Nothing, `null`, or the body is not JSON.
    Nothing,
    /// A string, or a number as it was written.
    Text(Cow<'b, str>),
    /// Something that is no text.
    Other,
}

impl BodyPath {
    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Object keys and array positions, in order.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Follows the path into `body`.
    #[must_use]
    pub fn find<'b>(&self, body: &'b [u8]) -> Found<'b> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let walk = Walk { steps: &self.steps };
        let found = walk.deserialize(&mut json).and_then(|found| json.end().map(|()| found));
        let Ok(Some(raw)) = found else {
            return Found::Nothing;
        };
        match raw.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Text<'b>>(raw.get()).map_or(Found::Other, |text| Found::Text(text.0)),
            Some(b'-' | b'0'..=b'9') => Found::Text(Cow::Borrowed(raw.get())),
            Some(b'n') => Found::Nothing,
            _ => Found::Other,
        }
    }
}

impl TryFrom<String> for BodyPath {
    type Error = BodyPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        if steps.len() <= 16 && steps.iter().all(|step| !step.is_empty()) {
            Ok(Self { text, steps })
        } else {
            Err(BodyPathError(text))
        }
    }
}

/// A JSON string that borrows where it can.
#[derive(Deserialize)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

/// Follows the remaining steps; `None` if they lead nowhere.
struct Walk<'p> {
    steps: &'p [String],
}

impl<'b> DeserializeSeed<'b> for Walk<'_> {
    type Value = Option<&'b RawValue>;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.steps.is_empty() { <&RawValue>::deserialize(json).map(Some) } else { json.deserialize_any(self) }
    }
}

impl<'b> Visitor<'b> for Walk<'_> {
    type Value = Option<&'b RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Text<'b>>()? {
            match self.steps.split_first() {
                Some((step, steps)) if *step == key.0 => found = map.next_value_seed(Walk { steps })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        if let Some((step, steps)) = self.steps.split_first()
            && let Ok(position) = step.parse::<usize>()
        {
            for _ in 0..position {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = seq.next_element_seed(Walk { steps })?.flatten();
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    // A scalar has nothing inside: the path leads nowhere.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}
