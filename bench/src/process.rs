//! The programs that are measured: started as a user would, asked until they are ready, and ended.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use tokio::process::{Child, Command};

use crate::settings::Settings;
use crate::usage::{self, Memory};

/// How long a program may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it is ready: what start to ready is measured by.
const INTERVAL: Duration = Duration::from_millis(2);
/// What Shopify's webhooks are signed with here.
pub(crate) const SECRET: &str = "benchmark-secret-of-no-value";

/// Who may look at the console.
pub(crate) const TOKEN: &str = "benchmark-token-of-no-value-at-all";

/// A running program.
pub(crate) struct Program {
    child: Child,
    pid: u32,
    /// Where it takes webhooks.
    pub(crate) address: SocketAddr,
    /// From its start until it was ready.
    pub(crate) start_to_ready: Duration,
}

/// A setting of `oncehook.toml`, as it stands there and as it shall be.
pub(crate) type Change<'c> = (&'c str, &'c str);

/// How a worker is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerSpec<'w> {
    pub(crate) database_url: &'w str,
    pub(crate) changes: &'w [Change<'w>],
    /// Where its mail goes; without one, nobody listens there.
    pub(crate) mail_server: Option<SocketAddr>,
}

/// Starts programs.
pub(crate) struct Programs<'s> {
    settings: &'s Settings,
}

/// What tells that a program is ready.
enum Sign {
    /// `/readyz` says so.
    Ready(SocketAddr),
    /// `/readyz` says that it does without its broker.
    Degraded(SocketAddr),
    /// It takes connections.
    Listening(SocketAddr),
}

impl<'s> Programs<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        Self { settings }
    }

    /// ingest, with the default configuration.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn ingest(&self) -> anyhow::Result<Program> {
        let ops = free_address()?;
        self.start_ingest(self.settings.amqp_url.expose_secret(), ops, Sign::Ready(ops)).await
    }

    /// ingest without its broker: nobody listens where it is told to connect.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn ingest_alone(&self) -> anyhow::Result<Program> {
        let (ops, nobody) = (free_address()?, free_address()?);
        self.start_ingest(&format!("amqp://{nobody}/%2f"), ops, Sign::Degraded(ops)).await
    }

    async fn start_ingest(&self, amqp_url: &str, ops: SocketAddr, sign: Sign) -> anyhow::Result<Program> {
        let (address, spool) = (free_address()?, self.spool());
        let mut command = self.service("ingest", &[], ops)?;
        command.env("AMQP_URL", amqp_url).env("SPOOL_DIR", spool);
        command.env("INGEST_LISTEN", address.to_string()).env("OPS_LISTEN", ops.to_string());
        command.env("SHOPIFY_WEBHOOK_SECRET", SECRET).env("GITHUB_WEBHOOK_SECRET", SECRET);
        command.env("GENERIC_WEBHOOK_SECRET", SECRET);
        command.env("STANDARD_WEBHOOKS_SECRET", "whsec_YmVuY2htYXJrLXNlY3JldC1vZi1uby12YWx1ZQ==");
        start(command, address, sign).await
    }

    /// Where ingest spools.
    pub(crate) fn spool(&self) -> PathBuf {
        self.settings.data.join("spool")
    }

    /// The bare handler, on an existing queue; with `message`, it publishes ingest's header and properties, too.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn handler(&self, queue: &str, message: bool) -> anyhow::Result<Program> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["handler", "--listen", &address.to_string(), "--queue", queue]);
        command.args(message.then_some("--message"));
        command.env("AMQP_URL", self.settings.amqp_url.expose_secret());
        start(command, address, Sign::Listening(address)).await
    }

    /// A worker.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn worker(&self, spec: WorkerSpec<'_>) -> anyhow::Result<Program> {
        let ops = free_address()?;
        let mut command = self.service("worker", spec.changes, ops)?;
        command.env("AMQP_URL", self.settings.amqp_url.expose_secret()).env("DATABASE_URL", spec.database_url);
        command.env("OPS_LISTEN", ops.to_string()).env("MAIL_FROM", "orders@shop.example");
        let mail_server = spec.mail_server.map_or_else(free_address, Ok)?;
        command.env("SMTP_URL", format!("smtp://{mail_server}"));
        start(command, ops, Sign::Ready(ops)).await
    }

    /// The console, before this database; nobody else is watched.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn console(&self, database_url: &str) -> anyhow::Result<Program> {
        let (address, ops) = (free_address()?, free_address()?);
        let mut command = self.service("oncehook", &[], ops)?;
        command.arg("console").env("AMQP_URL", self.settings.amqp_url.expose_secret());
        command.env("DATABASE_URL", database_url).env("CONSOLE_OPERATOR_TOKEN", TOKEN);
        command.env("CONSOLE_LISTEN", address.to_string()).env("OPS_LISTEN", ops.to_string());
        start(command, address, Sign::Ready(ops)).await
    }

    /// A service of ours with a configuration of its own; its log goes to a file.
    fn service(&self, name: &str, changes: &[Change<'_>], ops: SocketAddr) -> anyhow::Result<Command> {
        let directory = self.settings.data.join("programs");
        std::fs::create_dir_all(&directory)?;
        let file = |ending: &str| directory.join(format!("{name}-{}.{ending}", ops.port()));
        let (configuration, log) = (file("toml"), file("log"));
        let mut text = std::fs::read_to_string("oncehook.toml").context("run it in the repository's root")?;
        for (from, to) in changes {
            anyhow::ensure!(text.contains(from), "oncehook.toml does not say {from:?}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(&configuration, text)?;
        let log = std::fs::File::create(log)?;
        let mut command = Command::new(self.settings.binaries.join(name));
        command.env("ONCEHOOK_CONFIG", configuration).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

impl Program {
    /// Processor time so far, in seconds.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        usage::cpu_seconds(self.pid)
    }

    /// Memory.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        usage::memory(self.pid)
    }

    /// Ends it, gracefully if it ends in time.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("a measured program ended by itself: {status}");
        }
        kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM)?;
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

async fn start(mut command: Command, address: SocketAddr, sign: Sign) -> anyhow::Result<Program> {
    let began = Instant::now();
    let mut child = command.kill_on_drop(true).stdin(std::process::Stdio::null()).spawn().context("cannot start")?;
    let pid = child.id().context("it has ended at once")?;
    while !sign.is_given() {
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("{:?} ended before it was ready: {status}", command.as_std().get_program());
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "{:?} is not ready", command.as_std().get_program());
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(Program { child, pid, address, start_to_ready: began.elapsed() })
}

impl Sign {
    fn is_given(&self) -> bool {
        let says = |ops: SocketAddr, status: &str| {
            let mut wanted = String::from("\"status\":");
            write!(wanted, "{status:?}").is_ok()
                && shared::ops::get(ops, "/readyz").is_ok_and(|answer| answer.contains(&wanted))
        };
        match self {
            Self::Ready(ops) => says(*ops, "ready"),
            Self::Degraded(ops) => says(*ops, "degraded"),
            Self::Listening(address) => TcpStream::connect(address).is_ok(),
        }
    }
}

/// An address that nobody listens on.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
