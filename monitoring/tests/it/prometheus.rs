//! A private Prometheus with the project's own rules, that asks the services of one test every second.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use testing::services::{root, setting};
use testing::wait::{until, until_within};
use tokio::process::{Child, Command};

use crate::shop::{NOTICED, Shop};

/// A running Prometheus; killed when dropped.
pub(crate) struct Prometheus {
    url: String,
    client: reqwest::Client,
    _child: Child,
}

impl Prometheus {
    /// Starts it in a directory of its own, and waits until it has asked everybody twice.
    pub(crate) async fn start(directory: &Path, shop: &Shop<'_>) -> Self {
        Self::start_with(directory, shop, &rules()).await
    }

    /// The same with a copy of the rules whose alerts fire a second after their time has come.
    pub(crate) async fn impatient(directory: &Path, shop: &Shop<'_>) -> Self {
        let copies = directory.join("rules");
        std::fs::create_dir_all(&copies).unwrap();
        for file in std::fs::read_dir(rules()).unwrap() {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let at_once = |line: &str| match line.split_once("for: ") {
                Some((indent, _long)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
                _ => format!("{line}\n"),
            };
            std::fs::write(copies.join(file.file_name()), text.lines().map(at_once).collect::<String>()).unwrap();
        }
        Self::start_with(directory, shop, &copies).await
    }

    async fn start_with(directory: &Path, shop: &Shop<'_>, rules: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, configuration(shop, rules)).unwrap();
        let log = std::fs::File::create(directory.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; dev/install installs it"));
        let url = format!("http://127.0.0.1:{port}");
        let prometheus = Self { url, client: reqwest::Client::new(), _child: child };
        prometheus.has_data("count(count_over_time(up[1m]) >= 2) == 4").await;
        prometheus
    }

    /// Waits until a query has an answer with a number in it.
    pub(crate) async fn has_data(&self, query: &str) {
        until_within(NOTICED, query, || async {
            let answer = self.get("query", &[("query", query)]).await?;
            assert_ne!(answer["status"], "error", "{query}: {answer}");
            let results = answer["data"]["result"].as_array()?;
            results.iter().any(|result| result["value"][1].as_str().is_some_and(|value| value != "NaN")).then_some(())
        })
        .await;
    }

    /// Waits until an alert's expression is true: its state is pending or firing.
    pub(crate) async fn alert(&self, name: &str) {
        let what = format!("{name} is pending or firing");
        until_within(NOTICED, &what, || async { (self.alert_state(name).await? != "inactive").then_some(()) }).await;
    }

    /// Waits until an alert fires.
    pub(crate) async fn fires(&self, name: &str) {
        let what = format!("{name} is firing");
        until_within(NOTICED, &what, || async { (self.alert_state(name).await? == "firing").then_some(()) }).await;
    }

    /// Waits until an alert's expression was found to be false.
    pub(crate) async fn no_alert(&self, name: &str) {
        let what = format!("{name} is inactive");
        until(&what, || async { (self.alert_state(name).await? == "inactive").then_some(()) }).await;
    }

    /// `None` until the rule was evaluated.
    async fn alert_state(&self, name: &str) -> Option<String> {
        let answer = self.get("rules", &[("type", "alert")]).await?;
        let groups = answer["data"]["groups"].as_array()?;
        let mut rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let rule = rules.find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("there is no alert {name}"));
        (rule["health"] == "ok").then(|| rule["state"].as_str().unwrap().to_owned())
    }

    /// `None` while it does not answer.
    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{what}", self.url), parameters).unwrap();
        self.client.get(url).send().await.ok()?.json().await.ok()
    }
}

/// Of all that the broker tells, what is asked for: as the project's own configuration says it.
fn families() -> String {
    let own = std::fs::read_to_string(root().join("deploy/prometheus/prometheus.yml")).unwrap();
    own.lines().map(str::trim).find(|line| line.starts_with("family: ")).unwrap().to_owned()
}

fn rules() -> PathBuf {
    root().join("deploy/prometheus/rules")
}

/// As `deploy/prometheus/prometheus.yml`, with other addresses and more often, whether or not there is a console; of the broker's queues, the shop's alone.
fn configuration(shop: &Shop<'_>, rules: &Path) -> String {
    let rabbitmq = setting("RABBITMQ_METRICS_URL");
    let rabbitmq = rabbitmq.trim_start_matches("http://");
    format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}/*.yml']\n\
         scrape_configs:\n\
         - {{ job_name: ingest, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}\n\
         - {{ job_name: worker, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}\n\
         - {{ job_name: console, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}\n\
         - job_name: rabbitmq\n  \
           metrics_path: /metrics/detailed\n  \
           params: {{ {} }}\n  \
           static_configs: [{{ targets: ['{rabbitmq}'] }}]\n  \
           metric_relabel_configs: [{{ source_labels: [queue], regex: '({}.*)?', action: keep }}]\n",
        rules.display(),
        shop.ingest_ops_port,
        shop.worker_ops_port,
        shop.console_ops_port,
        families(),
        shop.queues(),
    )
}
