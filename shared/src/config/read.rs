//! Reads a TOML text into a typed tree and goes on after a mistake, so that one start shows all.
//!
//! Serde stops at the first error. Here that error is noted with its path, the value it complains
//! of is taken out of the document, and the rest is read again: each round notes one mistake and
//! removes one value, so it ends.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

use super::mistakes::{Mistakes, line_at};

/// The tree, as far as it could be read, and every mistake of form found on the way.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> (Option<T>, Mistakes) {
    let mut mistakes = Mistakes::default();
    let mut document = match text.parse::<Table>() {
        Ok(table) => Value::Table(table),
        Err(error) => {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            mistakes.add_at(line, error.message());
            return (None, mistakes);
        }
    };
    loop {
        let error = match serde_path_to_error::deserialize(document.clone()) {
            Ok(tree) => return (Some(tree), mistakes),
            Err(error) => error,
        };
        let path = keys(error.path());
        let problem = error.inner().message().trim();
        let (path, problem) = point_at_unknown_key(&document, path, problem);
        mistakes.add(dotted(&path), find(&document, &path).and_then(scalar), &problem);
        if !remove(&mut document, &path) {
            return (None, mistakes);
        }
    }
}

/// Serde reports an unknown key at the table that holds it; the mistake is the key itself.
fn point_at_unknown_key(document: &Value, mut path: Vec<String>, problem: &str) -> (Vec<String>, String) {
    let Some(rest) = problem.strip_prefix("unknown field `") else {
        return (path, problem.to_owned());
    };
    let key = rest.split('`').next().unwrap_or_default();
    let known = rest.split_once(", ").map_or("", |(_, known)| known);
    if path.last().is_none_or(|last| last != key) && find(document, &path).is_some_and(|table| table.get(key).is_some())
    {
        path.push(key.to_owned());
    }
    (path, format!("no such setting; {}", known.replace('`', "")))
}

fn keys(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn dotted(path: &[String]) -> String {
    let mut dotted = String::new();
    for key in path {
        if key.bytes().all(|b| b.is_ascii_digit()) {
            dotted.push_str(&format!("[{key}]"));
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(key);
        }
    }
    dotted
}

fn step<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match value {
        Value::Table(table) => table.get_mut(key),
        Value::Array(array) => array.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, key| match value {
        Value::Table(table) => table.get(key),
        Value::Array(array) => array.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Table(_) | Value::Array(_) => None,
        other => Some(other.to_string()),
    }
}

/// Takes the value out; `false` when nothing stood there (then reading again would not get on).
fn remove(document: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut value = document;
    for key in parents {
        match step(value, key) {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    match value {
        Value::Table(table) => table.remove(last).is_some(),
        Value::Array(array) => match last.parse::<usize>() {
            Ok(index) if index < array.len() => {
                array.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
