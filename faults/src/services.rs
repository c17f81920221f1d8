//! The services of the instance `faults`, through the script that runs them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Postgres,
    Rabbitmq,
}

/// An alarm of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    Memory,
    Disk,
    Off,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
        }
    }
}

/// Breaks and mends the services.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    script: PathBuf,
}

impl Services {
    /// The services that the environment describes: `TEST_SERVICES` is the script.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        Ok(Self { script: setting("TEST_SERVICES")?.into() })
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        self.script.parent().and_then(Path::parent).unwrap_or(Path::new("."))
    }

    /// `kill -9`; its supervisor starts it again.
    pub(crate) async fn kill(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["kill", service.name()]).await
    }

    /// Ends it gracefully and waits until it is back.
    pub(crate) async fn restart(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["restart", service.name()]).await
    }

    /// Ends it gracefully; it stays away.
    pub(crate) async fn stop(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["stop", service.name()]).await
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["start", service.name()]).await
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["pause", service.name()]).await
    }

    /// SIGCONT.
    pub(crate) async fn resume(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["resume", service.name()]).await
    }

    /// Raises an alarm of the broker, or ends them all.
    pub(crate) async fn alarm(&self, alarm: Alarm) -> anyhow::Result<()> {
        let which = match alarm {
            Alarm::Memory => "memory",
            Alarm::Disk => "disk",
            Alarm::Off => "off",
        };
        self.run(&["alarm", which]).await
    }

    /// Starts whatever a fault that failed has left broken.
    pub(crate) async fn mend(&self) -> anyhow::Result<()> {
        self.resume(Service::Rabbitmq).await?;
        self.resume(Service::Postgres).await?;
        self.run(&["up"]).await?;
        self.alarm(Alarm::Off).await
    }

    async fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.script);
        command.args(words).args(["--instance", "faults"]).kill_on_drop(true);
        let done = command.output().await.with_context(|| format!("cannot run {}", self.script.display()))?;
        anyhow::ensure!(
            done.status.success(),
            "dev/services {}: {}{}",
            words.join(" "),
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

/// A variable of the services' environment.
pub(crate) fn setting(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; run `make faults`"))
}
