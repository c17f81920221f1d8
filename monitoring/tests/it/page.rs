//! `docs/metrics.md` is made from what the services say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use testing::services::root;
use testing::wait::until;

use crate::shop::{Otherwise, Shop};

const INTRODUCTION: &str = "# Metrics

Made from what ingest, a worker and the console say on their ops ports (`/metrics`, OpenMetrics), by a test that sends them webhooks:
`UPDATE_GENERATED=1 cargo nextest run -p monitoring page` writes it anew. Names follow Prometheus' habits (base units,
`_total`) and OpenTelemetry's messaging conventions. Labels come from closed sets, never from ids. Durations are histograms:
`_bucket`, `_sum`, `_count`.

RabbitMQ tells of its queues itself, on port 15692 (`rabbitmq_detailed_queue_messages_ready`,
`rabbitmq_detailed_queue_consumers`); why, says [ADR 15](adr/0015-every-worker-tells-the-backlog.md). The rules and the
dashboard that read all of this are in [deploy/prometheus](../deploy/prometheus) and [deploy/grafana](../deploy/grafana);
what to do about an alert is in [runbooks.md](runbooks.md).
";

/// One metric family.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: String,
}

#[tokio::test]
async fn every_metric_is_on_the_page_and_the_page_has_no_other() {
    testing::run(|stack| async move {
        let shop = Shop::open(&stack, Otherwise::default()).await;
        shop.bustle(1).await;
        until("the worker has counted what is parked", || async {
            let metrics = shop.metrics(shop.worker_ops_port).await;
            metrics.contains("webhook_parked_waiting{").then_some(())
        })
        .await;
        let (ingest, worker) = (shop.metrics(shop.ingest_ops_port).await, shop.metrics(shop.worker_ops_port).await);
        let console = shop.console_metrics().await;
        shop.close().await;
        let [ingest, worker, console] = [ingest, worker, console].map(|metrics| table(&metrics));
        let made = format!("{INTRODUCTION}\n## ingest\n\n{ingest}\n## worker\n\n{worker}\n## console\n\n{console}");
        let file = root().join("docs/metrics.md");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == made, "docs/metrics.md is not what the services say: UPDATE_GENERATED=1 writes it anew");
    })
    .await;
}

/// A family without a sample says nothing, and would be missing on the page without a word.
#[test]
fn every_name_in_the_code_is_on_the_page() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut names = BTreeSet::new();
    for folder in ["ingest/src", "worker/src", "shared/src", "console/src/server/metrics.rs"] {
        names_in(&root().join(folder), &mut names);
    }
    assert!(names.len() > 50, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("| `{name}"))).collect();
    assert!(
        missing.is_empty(),
        "not in docs/metrics.md, since no webhook of this test's makes them speak: {missing:?}"
    );
}

/// Texts that look like a metric's name, in files that have metrics.
fn names_in(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| names_in(&entry.unwrap().path(), names));
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    if text.contains("prometheus_client") {
        let texts = text.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let prefixes = ["webhook_", "worker_", "inventory_", "messaging_", "oncehook_", "console_", "http_"];
        let found = texts.filter(is_name).filter(|text| prefixes.iter().any(|prefix| text.starts_with(prefix)));
        names.extend(found.map(str::to_owned));
    }
}

fn table(metrics: &str) -> String {
    let mut table = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, Family { kind, help, labels }) in families(metrics) {
        let suffix = if kind == "counter" {
            "_total"
        } else if kind == "info" {
            "_info"
        } else {
            ""
        };
        writeln!(table, "| `{name}{suffix}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

fn families(metrics: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in metrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some(family) = families.get_mut(&current).filter(|_| !line.starts_with('#')) {
            family.labels = labels(line);
        }
    }
    families
}

/// The names of a sample's labels, but for a histogram's own.
fn labels(sample: &str) -> String {
    let Some((_, rest)) = sample.split_once('{') else { return String::new() };
    let names = rest.split("\",").filter_map(|pair| pair.trim_start_matches(',').split_once("=\""));
    let names = names.map(|(name, _)| name.trim()).filter(|name| *name != "le");
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}
