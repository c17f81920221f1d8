//! The dashboard: every panel shows something after a real run, those that count what needs a person move when something
//! does, and Grafana finds it and where its numbers come from.

use serde_json::Value;
use testing::services::root;

use crate::console::Console;
use crate::prometheus::Prometheus;
use crate::shop::{Otherwise, Shop};

#[tokio::test]
async fn every_panel_has_data() {
    let queries: Vec<String> = panels().iter().flat_map(queries).collect();
    assert!(queries.len() > 15, "{queries:?}");
    testing::run(|stack| async move {
        let shop = Shop::open(&stack, Otherwise::default()).await;
        // Its series are to be seen before they change.
        let prometheus = Prometheus::start(&stack.directory, &shop).await;
        let console = Console::start(&stack, &shop).await;
        shop.bustle(1).await;
        for query in queries {
            console.is_seen().await;
            prometheus.has_data(&query).await;
        }
        console.close();
        shop.close().await;
    })
    .await;
}

/// These are zero while all is fine, and would be for whatever they ask.
#[tokio::test]
async fn what_needs_a_person_moves_the_panels_that_count_it() {
    testing::run(|stack| async move {
        let mut shop = Shop::open(&stack, Otherwise::default()).await;
        let prometheus = Prometheus::impatient(&stack.directory, &shop).await;
        let console = Console::start(&stack, &shop).await;
        let is = async |title, compared: &str| {
            let panels = panels();
            let asked: Vec<String> = panels.iter().filter(|panel| panel["title"] == title).flat_map(queries).collect();
            assert!(!asked.is_empty(), "there is no panel {title}");
            for query in asked {
                prometheus.has_data(&format!("({query}) {compared}")).await;
            }
        };
        is("Services that do not answer", "== 0").await;
        is("Alerts", "== 0").await;
        shop.bustle(1).await;
        // A rate is of what a series changes by after it was first seen.
        prometheus.has_data("webhook_verification_failures_total").await;
        shop.bustle(11).await;
        let failed = "INSERT INTO outbox (dedupe_key, effect, kind, intent, state, settled_at)
                      VALUES ('a', 'order-confirmation', 'email', '{}', 'failed', now())";
        stack.database.execute(failed).await;
        for title in ["Parked", "Parked and waiting", "Outbox: held and failed", "Not genuine, a minute"] {
            is(title, "> 0").await;
        }
        shop.stop_worker().await;
        is("Services that do not answer", "== 1").await;
        is("Alerts", "> 0").await;
        console.close();
        shop.close().await;
    })
    .await;
}

#[test]
fn grafana_is_told_where_the_dashboard_is_and_where_its_numbers_come_from() {
    let value = |file: &str, key: &str| {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let found = text.lines().find_map(|line| line.trim_start().strip_prefix(key).map(str::to_owned));
        found.unwrap_or_else(|| panic!("{file} has no {key}"))
    };
    let source = value("deploy/grafana/provisioning/datasources/prometheus.yml", "uid: ");
    let asked: Vec<Value> = panels().iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone()).collect();
    assert!(asked.iter().chain(&panels()).all(|asks| asks["datasource"]["uid"] == source.as_str()), "{source}");
    let folder = value("deploy/grafana/provisioning/dashboards/oncehook.yml", "path: ");
    assert_eq!(value("docker-compose.yml", "- ./deploy/grafana/dashboards:"), format!("{folder}:ro"));
    let home = value("docker-compose.yml", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: ");
    let home = home.strip_prefix(&folder).unwrap();
    assert!(root().join(format!("deploy/grafana/dashboards{home}")).is_file(), "{home}");
}

/// All that show something.
fn panels() -> Vec<Value> {
    let file = root().join("deploy/grafana/dashboards/oncehook.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    panels.cloned().collect()
}

fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty());
    let targets = targets.unwrap_or_else(|| panic!("a panel without query: {}", panel["title"]));
    targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}
