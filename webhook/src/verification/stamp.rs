//! Writing values into a JSON body: ids, times and signatures of a sample, where its provider carries them in the body.
//!
//! A body that has the value already stays as it is, byte for byte. Else it is written anew, with the keys of each object
//! sorted.

use serde_json::Value;

use crate::provider::{BodyPath, Found};

/// Writes `value` at `path`. A body that is no JSON, or where the path leads through something else than objects, stays
/// as it is.
pub(super) fn stamp(body: &mut Vec<u8>, path: &BodyPath, value: Value) {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if matches!(path.find(body), Found::Text(found) if found == text) {
        return;
    }
    let Ok(mut document) = serde_json::from_slice::<Value>(body) else { return };
    if set(&mut document, path, value) {
        *body = document.to_string().into_bytes();
    }
}

/// Sets the value, making objects on the way; says whether that was possible.
pub(super) fn set(document: &mut Value, path: &BodyPath, value: Value) -> bool {
    let mut place = document;
    for step in path.steps() {
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = match place {
            Value::Object(object) => object.entry(step.as_str()).or_insert(Value::Null),
            Value::Array(array) => match step.parse::<usize>().ok().and_then(|position| array.get_mut(position)) {
                Some(element) => element,
                None => return false,
            },
            _ => return false,
        };
    }
    *place = value;
    true
}
