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

/// Something about `RabbitMQ` that is otherwise until this is dropped.
pub struct Upset(&'static str);

impl Upset {
    /// It is short of `memory` or `disk`, or believes so: it takes no messages from anybody.
    pub async fn alarm(about: &'static str) -> Self {
        Self::set("alarm", about.to_owned()).await
    }

    /// It closes a channel whose delivery is not acknowledged within seconds; with half an hour, as it comes, no test could
    /// wait for that. For channels that are opened from now on.
    pub async fn patience(seconds: u32) -> Self {
        Self::set("patience", seconds.to_string()).await
    }

    /// It closes a channel on which a message of more bytes is published. For channels that are opened from now on.
    pub async fn message_size(bytes: u32) -> Self {
        Self::set("message-size", bytes.to_string()).await
    }

    /// Ends it.
    pub async fn end(self) {
        tokio::task::spawn_blocking(move || drop(self)).await.unwrap();
    }

    async fn set(what: &'static str, to: String) -> Self {
        tokio::task::spawn_blocking(move || dev_services(&[what, &to])).await.unwrap();
        Self(what)
    }
}

impl Drop for Upset {
    fn drop(&mut self) {
        dev_services(&[self.0, "off"]);
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
