//! The program itself, as a process of its own.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::{Answer, Broker, Connection, configuration, folder, free_address, setting, spool_dir, until};

/// A running ingest; killed when dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) port: u16,
    ops_port: u16,
    log: PathBuf,
}

/// The program without any environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    /// Starts it on a test's queues and spool, with the default sources and what `change` does to its environment.
    pub(crate) fn start(broker: &Broker, change: impl FnOnce(&mut Command)) -> Self {
        let (port, ops_port) = (free_address().port(), free_address().port());
        let log = folder(&broker.prefix).join(format!("ingest-{port}.log"));
        let mut command = program();
        command
            .env("ONCEHOOK_CONFIG", configuration(&broker.prefix, ""))
            .env("AMQP_URL", setting("AMQP_URL"))
            .env("SPOOL_DIR", spool_dir(&broker.prefix))
            .env("INGEST_LISTEN", format!("127.0.0.1:{port}"))
            .env("OPS_LISTEN", format!("127.0.0.1:{ops_port}"))
            .stderr(std::fs::File::create(&log).unwrap());
        change(&mut command);
        Self { child: command.spawn().unwrap(), port, ops_port, log }
    }

    /// Whether its health check says that it is well.
    pub(crate) async fn healthy(&self) -> bool {
        let mut check = program();
        check.arg("healthcheck").env("OPS_LISTEN", format!("127.0.0.1:{}", self.ops_port));
        check.status().await.unwrap().success()
    }

    /// Waits until it takes webhooks.
    pub(crate) async fn up(&self) {
        until("the program is healthy", async || self.healthy().await.then_some(())).await;
    }

    /// Waits until it takes webhooks and has its broker.
    pub(crate) async fn ready(&self) {
        self.up().await;
        until("the program has its broker", async || {
            self.ops("/readyz").await.body.contains("\"ready\"").then_some(())
        })
        .await;
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        Connection::open(self.port).await.exchange(request).await
    }

    /// `GET` on the ops port.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\n\r\n");
        Connection::open(self.ops_port).await.exchange(request.as_bytes()).await
    }

    /// What it has logged until now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// SIGTERM; how it ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.unwrap().unwrap()
    }
}
