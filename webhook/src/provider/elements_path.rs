//! A path to the elements of a body that holds several webhooks, each element's bytes as they stand in the body.
//!
//! Reads each level once and builds nothing but a list of slices. Where an object has a key twice the last one counts, as
//! in [`super::BodyPath`].

use std::borrow::Cow;
use std::collections::HashMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Most elements of one body. A batch of a provider has a thousand at most; a body of 8 MiB could hold millions.
pub const MAX_ELEMENTS: usize = 10_000;

/// Object keys and `*` (each element of an array) joined by dots, such as `entry.*.changes.*`; `*` alone is an array.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(test, schemars(with = "String"))]
pub struct ElementsPath {
    text: String,
    steps: Vec<String>,
}

/// Why a text is no path to elements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path to elements: 1 to 8 keys or stars joined by dots, at least one star, such as \"events.*\"")]
pub struct ElementsPathError(String);

/// Why a body can't be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// It is not JSON, or no path leads to an array.
    #[error("the body has no list of elements where the provider puts it")]
    NoElements,
    /// More than anyone sends.
    #[error("the body has more than {MAX_ELEMENTS} elements")]
    TooMany,
}

impl ElementsPath {
    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds each element's bytes to `found`.
    ///
    /// # Errors
    /// [`SplitError::NoElements`] if the path doesn't lead to an array, [`SplitError::TooMany`] beyond [`MAX_ELEMENTS`].
    pub fn find<'b>(&self, body: &'b [u8], found: &mut Vec<&'b [u8]>) -> Result<(), SplitError> {
        let whole: &RawValue = serde_json::from_slice(body).map_err(|_not_json| SplitError::NoElements)?;
        walk(whole, &self.steps, found)
    }

    /// Does something with each element of a document that was taken apart.
    pub fn for_each_mut(&self, document: &mut Value, with: &mut impl FnMut(&mut Value)) {
        visit(document, &self.steps, with);
    }
}

fn visit(value: &mut Value, steps: &[String], with: &mut impl FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return with(value) };
    match value {
        Value::Array(elements) if step == "*" => elements.iter_mut().for_each(|element| visit(element, rest, with)),
        Value::Object(fields) => {
            if let Some(value) = fields.get_mut(step) {
                visit(value, rest, with);
            }
        }
        _ => {}
    }
}

fn walk<'b>(value: &'b RawValue, steps: &[String], found: &mut Vec<&'b [u8]>) -> Result<(), SplitError> {
    let Some((step, rest)) = steps.split_first() else {
        if found.len() >= MAX_ELEMENTS {
            return Err(SplitError::TooMany);
        }
        found.push(value.get().as_bytes());
        return Ok(());
    };
    if step == "*" {
        let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_no_array| SplitError::NoElements)?;
        // An element without the rest of the path may be another kind of event. If all are, it is no batch.
        let (mut some, mut other) = (elements.is_empty(), false);
        for element in elements {
            match walk(element, rest, found) {
                Ok(()) => some = true,
                Err(SplitError::NoElements) => other = true,
                Err(SplitError::TooMany) => return Err(SplitError::TooMany),
            }
        }
        return if other && !some { Err(SplitError::NoElements) } else { Ok(()) };
    }
    let object: Object<'b> = serde_json::from_str(value.get()).map_err(|_no_object| SplitError::NoElements)?;
    walk(object.0.get(step.as_str()).copied().ok_or(SplitError::NoElements)?, rest, found)
}

/// An object's fields, the last of each name.
#[derive(Deserialize)]
struct Object<'b>(#[serde(borrow)] HashMap<Key<'b>, &'b RawValue>);

/// A key that borrows where it can.
#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Key<'b>(#[serde(borrow)] Cow<'b, str>);

impl std::borrow::Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ElementsPath {
    type Error = ElementsPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        let right =
            steps.len() <= 8 && steps.iter().all(|step| !step.is_empty()) && steps.iter().any(|step| step == "*");
        if right { Ok(Self { text, steps }) } else { Err(ElementsPathError(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str, body: &str) -> Result<Vec<String>, SplitError> {
        let mut found = Vec::new();
        ElementsPath::try_from(path.to_owned()).unwrap().find(body.as_bytes(), &mut found)?;
        Ok(found.into_iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect())
    }

    #[test]
    fn elements_are_the_bytes_as_they_stood() {
        assert_eq!(split("*", r#" [ {"a" : 1.0} ,"ü", [] ] "#).unwrap(), [r#"{"a" : 1.0}"#, "\"ü\"", "[]"]);
        let nested = r#"{"entry":[{"changes":[1,2]},{"changes":[]},{"changes":[3]}]}"#;
        assert_eq!(split("entry.*.changes.*", nested).unwrap(), ["1", "2", "3"]);
        let wrapped = r#"{"items":[{"Item":{"a":1}}]}"#;
        assert_eq!(split("items.*.Item", wrapped).unwrap(), [r#"{"a":1}"#]);
        assert_eq!(split("events.*", r#"{"events":[]}"#).unwrap(), [""; 0]);
        assert_eq!(split("a.*", r#"{"a":[1],"\u0061":[2]}"#).unwrap(), ["2"]);
    }

    #[test]
    fn an_element_of_another_kind_is_passed_over_unless_all_are() {
        let mixed = r#"{"entry":[{"x":1},{"changes":[1]},{"y":2}]}"#;
        assert_eq!(split("entry.*.changes.*", mixed).unwrap(), ["1"]);
        assert_eq!(split("entry.*.changes.*", r#"{"entry":[{"x":1},{"y":2}]}"#), Err(SplitError::NoElements));
    }

    #[test]
    fn what_has_no_list_is_no_batch() {
        for body in ["", "{}", "[1", "{\"events\":{}}", "{\"events\":null}", "3", "\u{feff}[]"] {
            assert_eq!(split("events.*", body), Err(SplitError::NoElements), "{body}");
        }
        let many = format!("[{}1]", "1,".repeat(MAX_ELEMENTS));
        assert_eq!(split("*", &many), Err(SplitError::TooMany));
        for path in ["", "a", "a..*", ".*", "*.*.*.*.*.*.*.*.*"] {
            assert!(ElementsPath::try_from(path.to_owned()).is_err(), "{path}");
        }
    }
}
