//! What every test of the command line needs: the command, parked webhooks, and a worker.

use std::path::Path;
use std::process::Output;

use clap::Parser;
use shared::db::parked_webhooks::{self, ParkReason};
use shared::message::Message;
use testing::Stack;
use testing::orders::Order;
use testing::services::setting;
use testing::state::quicken;
use testing::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The command, told where the test's world is.
pub(crate) fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncehook"));
    command
        .args(arguments)
        .env_clear()
        .env("ONCEHOOK_CONFIG", stack.configure(str::to_owned))
        .env("DATABASE_URL", &stack.database.url)
        .env("AMQP_URL", setting("AMQP_URL"))
        .kill_on_drop(true);
    command
}

/// The same on a terminal of its own (script, of util-linux), whose keys and screen are its standard input and output.
pub(crate) fn terminal(stack: &Stack, arguments: &[&str]) -> Command {
    let words = [&[env!("CARGO_BIN_EXE_oncehook")][..], arguments].concat().join("' '");
    let mut script = Command::new("script");
    let known = command(stack, arguments);
    let settings = known.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
    script.args(["-qec", &format!("stty cols 120 rows 40; exec '{words}'"), "/dev/null"]).env_clear().envs(settings);
    script.env("PATH", "/usr/bin:/bin").env("TERM", "xterm").kill_on_drop(true);
    script
}

/// Runs the command.
pub(crate) async fn oncehook(stack: &Stack, arguments: &[&str]) -> Output {
    command(stack, arguments).output().await.unwrap()
}

/// Runs the command and reads its JSON.
pub(crate) async fn json(stack: &Stack, arguments: &[&str]) -> serde_json::Value {
    let output = oncehook(stack, &[arguments, &["--output", "json"]].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What it printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Parks webhooks as a worker would have.
pub(crate) async fn park(stack: &Stack, messages: &[Message], reason: ParkReason) {
    let mut client = stack.database.client().await;
    let transaction = client.transaction().await.unwrap();
    for message in messages {
        parked_webhooks::park(&transaction, message, reason, "for a test").await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// So many orders of a MUG each, under the ids w1, w2 …
pub(crate) fn orders(stack: &Stack, count: u64) -> Vec<Message> {
    let order = |id| Order::of(id, &format!("order-{id}@{}", stack.mail_domain), &["MUG"]);
    (1..=count).map(|id| order(id).webhook(&format!("w{id}"))).collect()
}

/// Redrives that were left unfinished count as parked after a minute: this is that minute.
pub(crate) async fn let_a_minute_pass(stack: &Stack) {
    // What a worker is about to resolve is passed over: two who lock many rows in their own order wait in a circle.
    let redriving = "UPDATE parked_webhooks SET changed_at = changed_at - interval '61 s' WHERE webhook_id IN (
        SELECT webhook_id FROM parked_webhooks WHERE state = 'redriving' FOR UPDATE SKIP LOCKED)";
    stack.database.execute(redriving).await;
}

/// Waits until the work queue holds so many messages.
pub(crate) async fn queued(stack: &Stack, count: u32) {
    let queue = stack.topology.webhooks();
    until(&format!("{count} messages are queued"), || async { (stack.ready(&queue).await == count).then_some(()) })
        .await;
}

/// Something that answers as a service's ops port would; returns its URL.
pub(crate) async fn service_that_says(metrics: &'static str) -> String {
    service_that_says_at(metrics, "").await
}

/// The same with a clock of its own: a `Date`.
pub(crate) async fn service_that_says_at(metrics: &'static str, date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = client.read(&mut request).await.unwrap_or(0);
            let body = if request[..read].starts_with(b"GET /metrics") { metrics } else { "{}" };
            let date = if date.is_empty() { String::new() } else { format!("date: {date}\r\n") };
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{date}content-length: {}\r\n\r\n", body.len());
            client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    url
}

/// A worker within the test's own process.
pub(crate) struct Worker {
    pub(crate) ops_url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), worker::WorkerError>>,
}

impl Worker {
    /// On the default configuration, without its patience.
    pub(crate) async fn start(stack: &Stack) -> Self {
        Self::with(stack, &stack.configure(quicken)).await
    }

    pub(crate) async fn with(stack: &Stack, config: &Path) -> Self {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            settings: worker::Settings,
        }
        shared::crypto::install();
        let operator = format!("operator@{}", stack.mail_domain);
        let arguments = [
            ("--config", config.display().to_string()),
            ("--database-url", stack.database.url.clone()),
            ("--amqp-url", setting("AMQP_URL")),
            ("--smtp-url", setting("SMTP_URL")),
            ("--mail-from", "shop@shop.example".to_owned()),
            ("--operator-email", operator),
            ("--ops-listen", "127.0.0.1:0".to_owned()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let Arguments { settings } =
            Arguments::try_parse_from(["worker".to_owned()].into_iter().chain(arguments)).unwrap();
        let stop = CancellationToken::new();
        let application = worker::Application::build(&settings).await.unwrap();
        let ops_url = format!("http://127.0.0.1:{}", application.ops_port().unwrap());
        Self { task: tokio::spawn(application.run_until_stopped(stop.clone())), stop, ops_url }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}
