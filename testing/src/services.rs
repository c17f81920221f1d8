//! Where the services are: from the environment, or from what `make test` left in `.dev/test/env`.

use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the checkout").to_owned()
}

/// A setting such as `DATABASE_URL`.
///
/// # Panics
/// When it is nowhere to be found: the services are not running.
#[must_use]
pub fn setting(name: &str) -> String {
    let file = root().join(".dev/test/env");
    std::env::var(name)
        .ok()
        .or_else(|| {
            let text = std::fs::read_to_string(&file).ok()?;
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        })
        .unwrap_or_else(|| panic!("{name} is not set and not in {}: run `make test`, or start the services with `dev/services up --instance test`", file.display()))
}

/// Restarts a service gracefully (`rabbitmq`, `postgres`), keeping its port and data.
pub async fn restart(service: &str) {
    let service = service.to_owned();
    tokio::task::spawn_blocking(move || dev_services(&["restart", &service])).await.unwrap();
}

/// `RabbitMQ` is short of memory or disk, or believes so, until this is dropped: it takes no messages from anybody.
pub struct Alarm(());

impl Alarm {
    /// Raises the alarm about `memory` or `disk`.
    pub async fn raise(about: &'static str) -> Self {
        tokio::task::spawn_blocking(move || dev_services(&["alarm", about])).await.unwrap();
        Self(())
    }

    /// Ends it.
    pub async fn end(self) {
        tokio::task::spawn_blocking(move || drop(self)).await.unwrap();
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        dev_services(&["alarm", "off"]);
    }
}

/// `RabbitMQ` closes a channel whose delivery is not acknowledged within seconds, until this is dropped; with half an
/// hour, as it comes, no test could wait for that.
pub struct Impatience(());

impl Impatience {
    /// For channels that are opened from now on.
    pub async fn of_seconds(seconds: u32) -> Self {
        let seconds = seconds.to_string();
        tokio::task::spawn_blocking(move || dev_services(&["patience", &seconds])).await.unwrap();
        Self(())
    }
}

impl Drop for Impatience {
    fn drop(&mut self) {
        dev_services(&["patience", "off"]);
    }
}

/// `RabbitMQ` closes a channel on which a larger message is published, until this is dropped.
pub struct SmallMessages(());

impl SmallMessages {
    /// For channels that are opened from now on.
    pub async fn of_bytes(bytes: u32) -> Self {
        let bytes = bytes.to_string();
        tokio::task::spawn_blocking(move || dev_services(&["message-size", &bytes])).await.unwrap();
        Self(())
    }
}

impl Drop for SmallMessages {
    fn drop(&mut self) {
        dev_services(&["message-size", "off"]);
    }
}

fn dev_services(arguments: &[&str]) {
    let services = setting("TEST_SERVICES");
    let status = std::process::Command::new(&services)
        .args(arguments)
        .args(["--instance", "test"])
        .status()
        .unwrap_or_else(|error| panic!("cannot run {services}: {error}"));
    assert!(status.success(), "{services} {arguments:?}: {status}");
}
