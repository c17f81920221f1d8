//! Real processes: started with a test's settings, killed, terminated, waited for.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::services::setting;
use crate::stack::Stack;
use crate::wait::until;

/// What the webhooks of [`Service::spawn_ingest`] are signed with.
pub const SHOP_SECRET: &str = "hush";
/// How long a process may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// A running service; killed when dropped.
pub struct Service {
    child: Child,
    /// Where its ops port answers.
    pub ops_url: String,
    log: std::path::PathBuf,
}

/// What a worker is started with.
pub struct WorkerOptions<'a> {
    /// The binary: `env!("CARGO_BIN_EXE_worker")`.
    pub binary: &'a str,
    /// The configuration file.
    pub config: &'a Path,
    /// Another way to the broker, such as a [`crate::gate::Gate`].
    pub amqp_url: Option<String>,
    /// Another way to the mail sink.
    pub smtp_url: Option<String>,
    /// Whether it migrates when it starts.
    pub migrate_on_start: bool,
}

impl WorkerOptions<'_> {
    /// The same, for a worker that does not migrate when it starts.
    #[must_use]
    pub fn without_migrating(self) -> Self {
        Self { migrate_on_start: false, ..self }
    }
}

impl Service {
    /// Starts a worker against the test's world and waits until it is ready.
    pub async fn worker(stack: &Stack, options: &WorkerOptions<'_>) -> Self {
        let service = Self::spawn_worker(stack, options);
        service.wait_until_ready().await;
        service
    }

    /// The same without waiting.
    pub fn spawn_worker(stack: &Stack, options: &WorkerOptions<'_>) -> Self {
        Self::spawn_worker_in(stack, options, |_as_it_is| {})
    }

    /// The same, with what `change` does to its environment.
    pub fn spawn_worker_in(stack: &Stack, options: &WorkerOptions<'_>, change: impl FnOnce(&mut Command)) -> Self {
        let port = free_port();
        let log = stack.directory.join(format!("worker-{port}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(options.binary);
        command
            .env_clear()
            .env("ONCEHOOK_CONFIG", options.config)
            .env("DATABASE_URL", &stack.database.url)
            .env("AMQP_URL", options.amqp_url.clone().unwrap_or_else(|| setting("AMQP_URL")))
            .env("SMTP_URL", options.smtp_url.clone().unwrap_or_else(|| setting("SMTP_URL")))
            .env("MAIL_FROM", "Test shop <shop@shop.example>")
            .env("OPERATOR_EMAIL", format!("operator@{}", stack.mail_domain))
            .env("MIGRATE_ON_START", options.migrate_on_start.to_string())
            .env("OPS_LISTEN", format!("127.0.0.1:{port}"))
            .stderr(file)
            .kill_on_drop(true);
        change(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", options.binary));
        Self { child, ops_url: format!("http://127.0.0.1:{port}"), log }
    }

    /// Starts an ingest with a configuration's shop, which signs with [`SHOP_SECRET`], and what `change` does to its
    /// environment. Returns where it takes webhooks, too.
    pub fn spawn_ingest(
        stack: &Stack,
        binary: &Path,
        config: &Path,
        change: impl FnOnce(&mut Command),
    ) -> (Self, String) {
        let (port, ops_port) = (free_port(), free_port());
        let log = stack.directory.join(format!("ingest-{port}.log"));
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("ONCEHOOK_CONFIG", config)
            .env("AMQP_URL", setting("AMQP_URL"))
            .env("SPOOL_DIR", stack.directory.join("spool"))
            .env("INGEST_LISTEN", format!("127.0.0.1:{port}"))
            .env("OPS_LISTEN", format!("127.0.0.1:{ops_port}"))
            .env("STANDARD_WEBHOOKS_SECRET", "whsec_YS1zZWNyZXQtb2YtdGVzdHMtb2Ytbm8tdmFsdWU=")
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true);
        for name in ["SHOPIFY_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "GENERIC_WEBHOOK_SECRET"] {
            command.env(name, SHOP_SECRET);
        }
        change(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        (Self { child, ops_url: format!("http://127.0.0.1:{ops_port}"), log }, format!("http://127.0.0.1:{port}"))
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_until_ready(&self) {
        let url = format!("{}/readyz", self.ops_url);
        until(&format!("{url} is ready; its log is {}", self.log.display()), || async {
            reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// SIGKILL, and the end of it.
    pub async fn kill_9(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; returns how it ended.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait().await
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub async fn wait(&mut self) -> ExitStatus {
        tokio::time::timeout(END_TIMEOUT, self.child.wait()).await.expect("the process ends").unwrap()
    }

    /// The most memory that it has had resident so far, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Where it logs to.
    #[must_use]
    pub fn log_path(&self) -> std::path::PathBuf {
        self.log.clone()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Its metrics, as text.
    pub async fn metrics(&self) -> String {
        reqwest::get(format!("{}/metrics", self.ops_url)).await.unwrap().text().await.unwrap()
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
