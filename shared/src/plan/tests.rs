//! Plans of whole configurations, without a database.

use super::*;

const SOURCES: &str = "[sources.shopify]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }]\n";

fn plan(configuration: &str, topic: &str, body: &str) -> Result<Plan, PlanError> {
    let text = format!("{SOURCES}{configuration}");
    let config = Config::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let source = Name::try_from("shopify").unwrap();
    let planner = Planner::compile(&config).unwrap();
    planner.plan(Subject { source: &source, topic, body: body.as_bytes() })
}

const STOCK: &str = r#"
[effects.inventory.stock]
map = ".lines[] | {order: 7, line: .id, sku, quantity}"
"#;

#[test]
fn an_effect_that_two_routes_name_runs_once() {
    let routes = r#"
[routes.a]
sources = ["shopify"]
topics = ["orders/paid"]
effects = ["stock"]
[routes.b]
sources = ["shopify"]
topics = ["*"]
effects = ["stock"]
"#;
    let plan =
        plan(&format!("{STOCK}{routes}"), "orders/paid", r#"{"lines":[{"id":1,"sku":"MUG","quantity":2}]}"#).unwrap();
    assert_eq!((plan.routed, plan.decrements.len()), (true, 1));
}

const ROUTE: &str = r#"
[routes.a]
sources = ["shopify"]
topics = ["orders/paid"]
filter = ".ok"
effects = ["stock"]
"#;

fn decrements(lines: &str) -> Result<Plan, PlanError> {
    plan(&format!("{STOCK}{ROUTE}"), "orders/paid", &format!(r#"{{"ok":true,"lines":{lines}}}"#))
}

#[test]
fn two_lines_under_one_key_are_refused() {
    let error = decrements(r#"[{"id":1,"sku":"MUG","quantity":1},{"id":1,"sku":"HAT","quantity":1}]"#).unwrap_err();
    assert_eq!(error.to_string(), "effect stock: line 1 of order 7 comes twice");
}

#[test]
fn keys_that_would_lose_digits_are_refused() {
    let error = decrements(r#"[{"id":12345678901234567890123,"sku":"MUG","quantity":1}]"#).unwrap_err();
    assert!(error.to_string().contains("make it text with tostring"), "{error}");
    let largest = decrements(r#"[{"id":18446744073709551615,"sku":"MUG","quantity":1}]"#).unwrap();
    assert_eq!(largest.decrements[0].line, "18446744073709551615");
}

#[test]
fn quantities_are_whole_and_positive_and_lines_without_sku_are_skipped() {
    for bad in ["-1", "1.5", "\"2\"", "null", "2000000000"] {
        assert!(decrements(&format!(r#"[{{"id":1,"sku":"MUG","quantity":{bad}}}]"#)).is_err(), "{bad} passed");
    }
    let plan = decrements(
        r#"[{"id":1,"quantity":1},{"id":2,"sku":null,"quantity":1},{"id":3,"sku":" ","quantity":1},{"id":4,"sku":"MUG","quantity":0}]"#,
    )
    .unwrap();
    assert_eq!((plan.decrements.len(), plan.skips.len()), (0, 4));
}

#[test]
fn only_true_passes_a_filter_and_other_topics_are_not_parsed() {
    let configuration = format!("{STOCK}{ROUTE}");
    let filtered = plan(&configuration, "orders/paid", r#"{"ok":1,"lines":[]}"#).unwrap();
    assert_eq!((filtered.routed, filtered.skips.len()), (false, 1));
    let unrouted = plan(&configuration, "orders/edited", "not JSON").unwrap();
    assert_eq!(unrouted, Plan::default());
    assert!(matches!(plan(&configuration, "orders/paid", "not JSON"), Err(PlanError::Body(_))));
}

#[test]
fn mails_are_rendered_on_one_subject_line_and_strictly() {
    let mail = |subject: &str| {
        format!(
            "[effects.email.hello]\nmap = '{{key: .id, to: .to, data: {{name: .name}}}}'\nsubject = '{subject}'\ntext = 'Dear {{{{ name }}}}'\n{}",
            ROUTE.replace("stock", "hello")
        )
    };
    let body = r#"{"ok":true,"id":5,"to":"zoe@example.com","name":"Zoë\r\nBcc: all@example.com"}"#;
    let plan_of = |subject: &str, body: &str| plan(&mail(subject), "orders/paid", body);
    let email = plan_of("Hello {{ name }}", body).unwrap().emails.remove(0);
    assert_eq!(email.dedupe_key, "hello/shopify/5");
    assert_eq!(email.letter.subject, "Hello Zoë Bcc: all@example.com");
    assert!(matches!(plan_of("{{ nobody }}", body), Err(PlanError::Template { .. })));
    for nowhere in ["null", "\"\"", "\" \"", "\"not an address\""] {
        let plan = plan_of("x", &format!(r#"{{"ok":true,"id":5,"to":{nowhere},"name":"x"}}"#)).unwrap();
        assert_eq!((plan.emails.len(), plan.skips.len()), (0, 1), "{nowhere}");
    }
}
