//! The rules by themselves: promtool's unit tests, and that no alert is without test and runbook.

use std::collections::BTreeSet;
use std::process::Command;

use testing::services::root;

#[test]
fn the_rules_pass_their_unit_tests() {
    let promtool = |arguments: &[&str]| {
        let run = Command::new("promtool").args(arguments).current_dir(root().join("deploy/prometheus")).output();
        let run = run.unwrap_or_else(|error| panic!("promtool: {error}; dev/install installs it"));
        let said = [run.stdout, run.stderr].concat();
        assert!(run.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
    };
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    promtool(&["check", "rules", "rules/recording.yml", "rules/alerts.yml"]);
    promtool(&["test", "rules", "tests/recording.yml", "tests/alerts.yml"]);
}

/// Every replica has an address of its service's name in Compose's network.
#[test]
fn prometheus_looks_for_the_services_of_compose_where_they_tell_their_metrics() {
    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let service = |name: &str| {
        let below = compose.lines().skip_while(|line| *line != format!("  {name}:")).skip(1);
        below.take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n")
    };
    let jobs = std::fs::read_to_string(root().join("deploy/prometheus/prometheus.yml")).unwrap();
    let jobs: Vec<&str> = jobs.split("- job_name: ").skip(1).collect();
    assert_eq!(jobs.len(), 4);
    for job in jobs {
        let value = |key: &str| job.lines().find_map(|line| line.trim_start().strip_prefix(key)).unwrap();
        let (name, port) = (value("- names: [").trim_end_matches(']'), value("port: "));
        assert_eq!((job.lines().next().unwrap(), value("type: ")), (name, "A"));
        match name {
            "rabbitmq" => {
                // The broker's own plugin: its detailed page alone names queues.
                assert_eq!((port, value("metrics_path: ")), ("15692", "/metrics/detailed"));
                assert!(compose.contains("RABBITMQ_METRICS_URL: http://rabbitmq:15692"));
            }
            ours => {
                assert!(service(ours).contains(&format!("OPS_LISTEN: 0.0.0.0:{port}")), "{ours}: {}", service(ours))
            }
        }
    }
    let mounted = "./deploy/prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro";
    assert!(service("prometheus").contains(mounted), "{}", service("prometheus"));
    assert!(service("prometheus").contains("./deploy/prometheus/rules:/etc/prometheus/rules:ro"));
}

#[test]
fn every_alert_has_a_test_and_a_runbook_and_every_runbook_an_alert() {
    let alerts = after("deploy/prometheus/rules/alerts.yml", "- alert: ");
    assert!(alerts.len() > 10, "{alerts:?}");
    let tested = after("deploy/prometheus/tests/alerts.yml", "- name: ");
    assert_eq!(tested.iter().map(|name| alert_of(name).to_owned()).collect::<BTreeSet<_>>(), alerts);
    assert_eq!(after("docs/runbooks.md", "## "), alerts);
    let links = after("deploy/prometheus/rules/alerts.yml", "runbook_url: docs/runbooks.md#");
    assert_eq!(links, alerts.iter().map(|alert| alert.to_lowercase()).collect());
}

/// A rule that always fires passes whatever test only sees it fire.
#[test]
fn every_alert_is_seen_to_fire_and_to_be_silent() {
    let text = std::fs::read_to_string(root().join("deploy/prometheus/tests/alerts.yml")).unwrap();
    for test in text.split("- name: ").skip(1) {
        let alert = alert_of(test.lines().next().unwrap());
        let silent = format!("alertname: {alert}, eval_time: ");
        let is_silent = test.lines().any(|line| line.contains(&silent) && line.contains("exp_alerts: []"));
        assert!(is_silent && test.contains("exp_labels"), "{alert}");
    }
}

#[test]
fn every_recorded_series_has_a_test() {
    let recorded = after("deploy/prometheus/rules/recording.yml", "- record: ");
    let tests = std::fs::read_to_string(root().join("deploy/prometheus/tests/recording.yml")).unwrap();
    let asked: Vec<&str> = tests.lines().filter_map(|line| line.trim_start().strip_prefix("- expr: ")).collect();
    let missing = recorded.iter().find(|series| !asked.iter().any(|expression| expression.contains(series.as_str())));
    assert_eq!((missing, recorded.len() > 5), (None, true));
}

/// The alert that a test is of: `Alert`, or `Alert, by what more`.
fn alert_of(test: &str) -> &str {
    test.split(',').next().unwrap()
}

/// What follows a mark at the beginning of a file's lines.
fn after(file: &str, mark: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    text.lines().filter_map(|line| line.trim_start().strip_prefix(mark)).map(str::to_owned).collect()
}
