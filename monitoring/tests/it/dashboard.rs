//! Every panel of the dashboard shows something after a real run.

use serde_json::Value;
use testing::services::root;

use crate::console::Console;
use crate::prometheus::Prometheus;
use crate::shop::{Otherwise, Shop};

#[tokio::test]
async fn every_panel_has_data() {
    let queries = queries();
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

fn queries() -> Vec<String> {
    let file = root().join("deploy/grafana/dashboards/oncehook.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty());
        targets.unwrap_or_else(|| panic!("a panel without query: {}", panel["title"]))
    });
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}
