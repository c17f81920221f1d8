//! The API's description (OpenAPI). What every operation has in common is said here, once: who may ask, and how it is
//! refused.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::access::caller::{COOKIE, CSRF_HEADER};
use super::problem::{PROBLEM_JSON, ProblemDocument};
use super::{audit, inventory, jobs, outbox, overview, parked, sources, webhooks};

/// The API's description.
#[derive(OpenApi)]
#[openapi(
    info(title = "Oncehook", description = "Sees and steers an installation. Show a token: `Authorization: Bearer …`. \
        A viewer's token may read; what changes something wants an operator's. Name yourself for the audit by \
        `X-Oncehook-Actor`."),
    paths(
        overview::api::overview, overview::api::series, webhooks::api::list, webhooks::api::show, webhooks::api::raw,
        webhooks::api::replay, parked::api::list, parked::api::redrive, parked::api::discard, jobs::page::api,
        jobs::page::api_list, jobs::page::api_stop, outbox::api::list, outbox::api::resend, outbox::api::hold,
        outbox::api::cancel, outbox::api::destinations, outbox::api::pause, outbox::api::resume, inventory::api::list,
        inventory::api::set, sources::page::api, audit::api, audit::api_entry
    ),
    components(schemas(ProblemDocument)),
    modifiers(&Common)
)]
pub(super) struct Description;

/// What all operations have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_with(Default::default);
        let schemes = [
            ("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
            (
                "session",
                SecurityScheme::ApiKey(ApiKey::Cookie(described(COOKIE, "A browser's session, from the login."))),
            ),
            (
                "csrf",
                SecurityScheme::ApiKey(ApiKey::Header(described(
                    CSRF_HEADER,
                    "What a page of the console knows of its session (`data-csrf` of its body): what acts from a browser \
                     repeats it.",
                ))),
            ),
        ];
        for (name, scheme) in schemes {
            components.add_security_scheme(name, scheme);
        }
        for (path, item) in &mut description.paths.paths {
            if let Some(operation) = &mut item.get {
                common(path, operation, Does::Read);
            }
            if let Some(operation) = &mut item.post {
                common(path, operation, Does::Act);
            }
        }
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Read,
    Act,
}

fn common(path: &str, operation: &mut Operation, does: Does) {
    let no_scopes = || Vec::<String>::new();
    let session = SecurityRequirement::new("session", no_scopes());
    let session = if does == Does::Act { session.add("csrf", no_scopes()) } else { session };
    operation.security = Some(vec![SecurityRequirement::new("token", no_scopes()), session]);
    let mut refused = vec![
        ("401", "No token or session, or one that is not valid."),
        ("429", "Too many wrong tokens from this address; `Retry-After` says when to try again."),
        ("503", "The database is away or busy, a search took too long, or too many jobs run; try again."),
    ];
    if does == Does::Act {
        refused.push(("403", "A viewer's token, or a browser's request that may not be from a page of the console."));
    }
    if does == Does::Act || operation.parameters.iter().flatten().next().is_some() {
        refused.push(("400", "The request cannot be read; `detail` says why."));
    }
    if path.contains('{') {
        refused.push(("404", "There is nothing here."));
    }
    for (status, why) in refused {
        operation.responses.responses.insert(status.to_owned(), RefOr::T(problem(why)));
    }
}

/// An answer that is a problem document.
fn problem(why: &str) -> Response {
    let document = Ref::from_schema_name(ProblemDocument::name());
    ResponseBuilder::new()
        .description(why)
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(document)).build())
        .build()
}

fn described(name: &str, what: &str) -> ApiKeyValue {
    ApiKeyValue::with_description(name, what)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn description() -> Value {
        serde_json::to_value(Description::openapi()).unwrap()
    }

    /// Each operation: its path, its method, and what is said of it.
    fn operations(description: &Value) -> Vec<(String, String, &Value)> {
        let paths = description["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, operation)| (path.clone(), method.clone(), operation))
            })
            .collect()
    }

    #[test]
    fn every_route_of_the_api_is_described() {
        let description = description();
        let described = description["paths"].as_object().unwrap();
        let source = include_str!("api.rs");
        let routes = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"/"));
        let routes = routes.filter_map(|rest| rest.split('"').next()).filter(|route| !route.starts_with("api/"));
        let mut seen = 0;
        for route in routes.map(|route| format!("/api/v1/{}", route.replace(":.+", ""))) {
            let is_this = route.contains("openapi.json");
            assert!(is_this || described.contains_key(&route), "{route} is not described");
            seen += 1;
        }
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn every_operation_says_how_it_is_refused_and_by_what_it_is_allowed() {
        let description = description();
        let operations = operations(&description);
        assert!(operations.len() > 15);
        for (path, method, operation) in operations {
            let acts = method == "post";
            let expected = [
                ("401", true),
                ("429", true),
                ("503", true),
                ("403", acts),
                ("400", acts || operation["parameters"].is_array()),
                ("404", path.contains('{')),
            ];
            for (status, is_said) in expected {
                let response = &operation["responses"][status];
                assert_eq!(response.is_object(), is_said, "{method} {path}: {status}");
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert!(
                    !is_said || schema == "#/components/schemas/ProblemDocument",
                    "{method} {path}: {status}: {response}"
                );
            }
            let with_session: Vec<&Value> = operation["security"].as_array().unwrap().iter().collect();
            assert!(with_session.iter().any(|one| one["token"].is_array()), "{method} {path}");
            assert!(with_session.iter().any(|one| one["session"].is_array() && one["csrf"].is_array() == acts));
        }
        let schemes = &description["components"]["securitySchemes"];
        assert_eq!((&schemes["session"]["in"], &schemes["session"]["name"]), (&"cookie".into(), &COOKIE.into()));
        assert_eq!((&schemes["csrf"]["in"], &schemes["csrf"]["name"]), (&"header".into(), &CSRF_HEADER.into()));
    }

    #[test]
    fn every_schema_says_what_it_holds() {
        let description = description();
        let mut bare = Vec::new();
        look(&description, "", &mut bare);
        assert_eq!(bare, Vec::<String>::new(), "a bare object tells a caller nothing");
    }

    /// Where a schema is an object and does not say of what.
    fn look(value: &Value, place: &str, bare: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                let is_object = match &fields.get("type") {
                    Some(Value::String(kind)) => kind == "object",
                    Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
                    _ => false,
                };
                let says = ["properties", "additionalProperties", "propertyNames", "allOf", "oneOf"];
                if is_object && !says.iter().any(|part| fields.contains_key(*part)) {
                    bare.push(place.to_owned());
                }
                for (name, field) in fields {
                    look(field, &format!("{place}/{name}"), bare);
                }
            }
            Value::Array(values) => {
                for (at, one) in values.iter().enumerate() {
                    look(one, &format!("{place}/{at}"), bare);
                }
            }
            _ => {}
        }
    }
}
