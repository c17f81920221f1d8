//! The console of one test: what its overview says is wrong.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use console::Cli;
use serde_json::Value;
use testing::Stack;
use testing::services::setting;
use testing::wait::{until, until_within};
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;

const TOKEN: &str = "operator-token-of-this-test";
/// The promise: so long after a fault, at most, the overview says so.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A running console.
pub(crate) struct Console {
    url: String,
    client: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Console {
    /// Starts it, and waits until it says that all is fine.
    pub(crate) async fn start(stack: &Stack, shop: &Shop<'_>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = [
            ("--config", shop.config.display().to_string()),
            ("--database-url", stack.database.url.clone()),
            ("--amqp-url", setting("AMQP_URL")),
            ("--ingest-ops-url", format!("http://127.0.0.1:{}", shop.ingest_ops_port)),
            ("--worker-ops-url", format!("http://127.0.0.1:{}", shop.worker_ops_port)),
            ("--listen", format!("127.0.0.1:{port}")),
            ("--ops-listen", format!("127.0.0.1:{}", shop.console_ops_port)),
            ("--operator-token", TOKEN.to_owned()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let command = ["oncehook", "console"].map(str::to_owned).into_iter();
        let cli = Cli::try_parse_from(command.chain(arguments)).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        // Its future may not move between threads: it has one of its own, as a command line has.
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let ended = runtime.block_on(stopped.run_until_cancelled(console::run(cli, &mut std::io::sink())));
            assert!(ended.is_none(), "the console ended by itself: {ended:?}");
        });
        let url = format!("http://127.0.0.1:{port}/api/v1/overview");
        let console = Self { url, client: reqwest::Client::new(), stop, running };
        console.is_fine().await;
        console
    }

    /// Waits until everybody has answered and nothing is wrong.
    pub(crate) async fn is_fine(&self) {
        until("all is fine", || async {
            let overview = self.overview().await?;
            let lists = ["queues", "outbox", "workers", "spools"];
            let is_known = lists.iter().all(|list| overview[list].as_array().is_some_and(|list| !list.is_empty()));
            (is_known && overview["concerns"].as_array()?.is_empty()).then_some(())
        })
        .await;
    }

    /// Looks at the overview once, whatever it says.
    pub(crate) async fn is_seen(&self) {
        self.overview().await.unwrap();
    }

    /// Waits until this is told, within ten seconds of the fault.
    pub(crate) async fn tells_since(&self, fault: Instant, concern: &str) {
        let what = format!("{concern:?} is told within ten seconds");
        until_within(SEEN_WITHIN.saturating_sub(fault.elapsed()), &what, || self.told(concern, true)).await;
    }

    /// Waits until this is told no longer.
    pub(crate) async fn tells_no_longer(&self, concern: &str) {
        until(&format!("{concern:?} is told no longer"), || self.told(concern, false)).await;
    }

    async fn told(&self, concern: &str, expected: bool) -> Option<()> {
        let overview = self.overview().await?;
        let mut concerns = overview["concerns"].as_array()?.iter();
        (concerns.any(|one| one["what"].as_str().unwrap().contains(concern)) == expected).then_some(())
    }

    /// `None` while it does not answer.
    async fn overview(&self) -> Option<Value> {
        self.client.get(&self.url).bearer_auth(TOKEN).send().await.ok()?.json().await.ok()
    }

    /// Ends it.
    pub(crate) fn close(self) {
        self.stop.cancel();
        self.running.join().unwrap();
    }
}
