//! The default file is right; mistakes are all reported, with their lines.

use super::*;

const DEFAULT: &str = include_str!("../../../oncehook.toml");

#[test]
fn the_default_file_is_right_and_says_the_defaults() {
    let config = Config::parse("oncehook.toml", DEFAULT).unwrap_or_else(|error| panic!("{error}"));
    let sources: Vec<&str> = config.sources.keys().map(Name::as_str).collect();
    assert_eq!(sources, ["generic", "github", "shopify", "standard-webhooks"]);
    assert_eq!(format!("{:?}", config.ingest), format!("{:?}", IngestConfig::default()));
    assert_eq!(format!("{:?}", config.spool), format!("{:?}", SpoolConfig::default()));
    assert_eq!(format!("{:?}", config.queue), format!("{:?}", QueueConfig::default()));
    assert_eq!(format!("{:?}", config.worker), format!("{:?}", WorkerConfig::default()));
    assert_eq!(format!("{:?}", config.dispatch), format!("{:?}", DispatchConfig::default()));
    assert_eq!(format!("{:?}", config.retention), format!("{:?}", RetentionConfig::default()));
}

#[test]
fn an_empty_file_is_right() {
    assert!(Config::parse("empty.toml", "").is_ok());
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"
[sources.shopify]
provider = "shopifi"
secrets = [{ env = "A" }]
max_body_byte = 5

[sources.stripe]
provider = "generic"

[sources.GitHub]
provider = "github"
secrets = [{ environment = "B" }]

[routes.paid]
sources = ["shopify", "shop"]
topics = ["orders/paid"]
filter = ".test != ("
effects = ["stock", "mail"]

[effects.inventory.stock]
map = ".line_items[] | frobnicate"
unknown_sku = "ignore"

[effects.email.mail]
map = "{}"
subject = "{{ order "
text = "x"

[ingest]
body_timeout_ms = "long"
publish_timeout_ms = 2500
head_timeout_ms = 1000

[worker]
batch_size = 0
prefetch = 300

[retention]
processed_days = 2

[retentoin]
payload_days = 3
"#;
    let error = Config::parse("oncehook.toml", text).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn a_retention_shorter_than_the_providers_retries_is_refused() {
    let text =
        "[sources.github]\nprovider = \"github\"\nsecrets = [{ env = \"A\" }]\n[retention]\nprocessed_days = 2\n";
    let error = Config::parse("oncehook.toml", text).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn a_breaker_whose_first_pause_is_its_longest_and_more_is_refused() {
    let error = Config::parse("t", "[dispatch]\nbreaker_min_ms = 2000\nbreaker_max_ms = 1000\n").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("dispatch.breaker_min_ms") && text.contains("at most breaker_max_ms (1000)"), "{text}");
}

#[test]
fn a_syntax_error_has_its_line() {
    let error = Config::parse("oncehook.toml", "[ingest]\nhead_timeout_ms = \n").unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn fewer_deliveries_are_held_where_bodies_may_be_larger() {
    let prefetch = |settings: &str| Config::parse("oncehook.toml", settings).unwrap().prefetch();
    let source = |bytes: u32| {
        format!("[sources.a]\nprovider = \"generic\"\nverification = \"none\"\nmax_body_bytes = {bytes}\n")
    };
    let mib = 1024 * 1024;
    assert_eq!(prefetch(&source(mib / 2)), 300);
    assert_eq!(prefetch(&source(mib)), 256);
    assert_eq!(prefetch(&source(8 * mib)), 32);
    assert_eq!(prefetch(&format!("{}[worker]\nin_flight_bytes = 8388608", source(8 * mib))), 1);
    assert_eq!(prefetch(""), 32, "whoever publishes without a source may publish the largest");
}

#[test]
fn replay_defence_is_flag_unless_the_id_is_signed_a_route_has_a_key_or_the_source_says() {
    let text = r#"
        [sources.alone]
        provider = "github"
        secrets = [{ env = "X" }]
        [sources.signed]
        provider = "stripe"
        secrets = [{ env = "X" }]
        [sources.routed]
        provider = "github"
        secrets = [{ env = "X" }]
        [sources.strict]
        provider = "github"
        secrets = [{ env = "X" }]
        replay_defence = "drop"
        [routes.r]
        sources = ["routed", "strict"]
        topics = ["*"]
        effects = ["e"]
        [effects.inventory.e]
        map = "empty"
    "#;
    let (config, catalogue) = (Config::parse("oncehook.toml", text).unwrap(), Catalogue::built_in().unwrap());
    let defence = |name: &str| {
        let (name, source) = config.sources.get_key_value(name).unwrap();
        config.replay_defence(name, catalogue.get(source.provider.as_str()).unwrap())
    };
    assert_eq!(["alone", "signed", "routed", "strict"].map(defence), {
        use ReplayDefence::{Drop, Flag, Off};
        [Flag, Off, Off, Drop]
    });
}
