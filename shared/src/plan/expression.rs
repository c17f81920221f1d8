//! jq expressions: compiled once at start, run over webhook bodies, with bounded output.
//!
//! jq is a language our users know. It has no fuel: an expression that never returns cannot be
//! stopped from here. The worker's watchdog ends the process then, and the message takes the
//! suspect's way.

use std::fmt;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde::de::DeserializeOwned;

/// The most values that one run may yield.
pub(super) const MAX_OUTPUTS: usize = 10_000;
/// The most bytes of JSON that one run may yield.
pub(super) const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// The deepest nesting of a body: jq's reader recurses, and a thread's stack is finite.
pub(super) const MAX_NESTING: usize = 128;

type Filter = jaq_core::Filter<data::JustLut<Val>>;

/// A compiled jq expression.
pub struct Expression {
    source: String,
    filter: Filter,
}

/// An expression that does not compile; the text says what and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid jq expression: {0}")]
pub struct CompileError(String);

/// An expression that compiled and failed on this body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// jq raised an error, such as indexing a number.
    #[error("{0}")]
    Failed(String),
    /// The output is not of the shape that the effect needs.
    #[error("output {position}: {problem}")]
    Shape {
        /// Which output, from 1.
        position: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// More output than the limits allow.
    #[error("more than {MAX_OUTPUTS} outputs or {MAX_OUTPUT_BYTES} bytes")]
    TooMuch,
}

/// A webhook's body, parsed once for all expressions.
#[derive(Clone)]
pub struct Body(Val);

impl Body {
    /// Parses a JSON text; numbers keep their digits.
    ///
    /// # Errors
    /// When the bytes are not one JSON value.
    pub fn parse(bytes: &[u8]) -> Result<Self, ExpressionError> {
        if nesting(bytes) > MAX_NESTING {
            return Err(ExpressionError::Failed(format!("the body is nested deeper than {MAX_NESTING}")));
        }
        // jq's reader takes a superset of JSON; what is no JSON must not get through as something else.
        serde_json::from_slice::<&serde_json::value::RawValue>(bytes)
            .map_err(|error| ExpressionError::Failed(format!("the body is not JSON: {error}")))?;
        read::parse_single(bytes)
            .map(Self)
            .map_err(|error| ExpressionError::Failed(format!("the body is not JSON: {error}")))
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is not valid jq or calls what is not there.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(definitions)
            .load(&arena, File { code: source, path: () })
            .map_err(|errors| CompileError(describe(source, errors.into_iter().map(|(_, error)| error))))?;
        let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
            let unknown = errors.into_iter().flat_map(|(_, found)| found);
            let names: Vec<String> = unknown.map(|(name, _)| format!("{name} is not defined")).collect();
            CompileError(names.join(", "))
        })?;
        Ok(Self { source: source.to_owned(), filter })
    }

    /// Whether the expression's first output over the body is `true`.
    ///
    /// # Errors
    /// When the expression fails.
    pub fn is_true(&self, body: &Body) -> Result<bool, ExpressionError> {
        match self.outputs(body).next() {
            Some(Ok(value)) => Ok(matches!(value, Val::Bool(true))),
            Some(Err(error)) => Err(error),
            None => Ok(false),
        }
    }

    /// All outputs, each read as a `T`.
    ///
    /// # Errors
    /// When the expression fails, an output does not have the shape of a `T`, or there is too much.
    pub fn run<T: DeserializeOwned>(&self, body: &Body) -> Result<Vec<T>, ExpressionError> {
        let mut results = Vec::new();
        let mut bytes = 0;
        for output in self.outputs(body) {
            let json = output?.to_string();
            bytes += json.len();
            if results.len() == MAX_OUTPUTS || bytes > MAX_OUTPUT_BYTES {
                return Err(ExpressionError::TooMuch);
            }
            let position = results.len() + 1;
            let result = serde_json::from_str(&json)
                .map_err(|error| ExpressionError::Shape { position, problem: error.to_string() })?;
            results.push(result);
        }
        Ok(results)
    }

    fn outputs(&self, body: &Body) -> impl Iterator<Item = Result<Val, ExpressionError>> {
        let context = Ctx::<data::JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        self.filter
            .id
            .run((context, body.0.clone()))
            .map(|output| unwrap_valr(output).map_err(|error| ExpressionError::Failed(error.to_string())))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// How deep brackets outside of strings are nested.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// One line for a person: what was expected and where the expression goes wrong.
fn describe<'a>(source: &str, errors: impl Iterator<Item = jaq_core::load::Error<&'a str>>) -> String {
    use jaq_core::load::Error;
    let near = |rest: &str| match source.len().checked_sub(rest.len()).and_then(|at| source.get(at..)) {
        Some("") | None => "the end".to_owned(),
        Some(rest) => format!("{:?}", rest.chars().take(20).collect::<String>()),
    };
    let one = |error: Error<&'a str>| match error {
        Error::Io(files) => format!("cannot include {} file(s)", files.len()),
        Error::Lex(found) => found
            .into_iter()
            .map(|(expected, rest)| format!("expected {} at {}", expected.as_str(), near(rest)))
            .collect::<Vec<_>>()
            .join(", "),
        Error::Parse(found) => found
            .into_iter()
            .map(|(expected, rest)| format!("expected {} at {}", expected.as_str(), near(rest)))
            .collect::<Vec<_>>()
            .join(", "),
    };
    errors.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str, body: &str) -> Result<Vec<serde_json::Value>, ExpressionError> {
        Expression::compile(source).unwrap().run(&Body::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn yields_every_output() {
        let outputs = run(".items[] | {sku, n: (.n + 1)}", r#"{"items":[{"sku":"a","n":1},{"sku":"b","n":2}]}"#);
        insta::assert_snapshot!(serde_json::to_string(&outputs.unwrap()).unwrap(), @r#"[{"n":2,"sku":"a"},{"n":3,"sku":"b"}]"#);
    }

    #[test]
    fn large_numbers_keep_their_digits() {
        let outputs = run(".id | tostring", r#"{"id":12345678901234567890123}"#);
        assert_eq!(outputs.unwrap(), vec![serde_json::json!("12345678901234567890123")]);
    }

    #[test]
    fn only_true_is_true() {
        for (source, expected) in [("true", true), (".a == 1", true), ("1", false), ("null", false), ("empty", false)] {
            let body = Body::parse(br#"{"a":1}"#).unwrap();
            assert_eq!(Expression::compile(source).unwrap().is_true(&body), Ok(expected), "{source}");
        }
    }

    #[test]
    fn mistakes_are_told_at_compile_time() {
        let syntax = Expression::compile(".a | (").unwrap_err().to_string();
        let unknown = Expression::compile(".a | frobnicate").unwrap_err().to_string();
        insta::assert_snapshot!(format!("{syntax}\n{unknown}"));
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Body::parse(nested(MAX_NESTING).as_bytes()).is_ok());
        assert!(Body::parse(nested(MAX_NESTING + 1).as_bytes()).is_err());
        assert!(Body::parse(nested(1_000_000).as_bytes()).is_err());
        let text = format!(r#"{{"a":"\"{}","b":[[1],{{}}]}}"#, "[".repeat(1000));
        assert_eq!(nesting(text.as_bytes()), 3);
        assert!(Body::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn output_is_bounded() {
        assert_eq!(run("range(1000000)", "0"), Err(ExpressionError::TooMuch));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in ["", "{", "{a:1}", "1 2", "NaN", "# comment\n1", "\u{feff}{}"] {
            assert!(Body::parse(bad.as_bytes()).is_err(), "{bad:?} passed");
        }
    }
}
