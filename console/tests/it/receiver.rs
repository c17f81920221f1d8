//! An ingest within the test's own process, for what is sent by HTTP. It has no broker: it answers from its spool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use ingest::{Application, Settings};
use secrecy::SecretString;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// A running ingest, and a folder of the test's own.
pub(crate) struct Receiver {
    pub(crate) folder: PathBuf,
    pub(crate) url: String,
    ops_url: String,
}

/// Runs `test` against an ingest with the configuration that `configure` makes, which may put files into the folder. A test
/// that fails leaves the folder behind.
pub(crate) async fn run(configure: impl FnOnce(&Path) -> String, test: impl AsyncFnOnce(&Receiver)) {
    shared::crypto::install();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("receiver-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(&folder).unwrap();
    let text = configure(&folder);
    let settings = Settings {
        config: written(&folder, "oncehook.toml", &text),
        // Port 1 refuses.
        amqp_url: Some(SecretString::from("amqp://127.0.0.1:1/%2f")),
        spool_dir: Some(folder.join("spool")),
        listen: ([127, 0, 0, 1], 0).into(),
        ops_listen: ([127, 0, 0, 1], 0).into(),
    };
    let application = Application::build(&settings).unwrap();
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let receiver = Receiver { url: url(application.port()), ops_url: url(application.ops_port()), folder };
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let running = tokio::spawn(async move { application.run_until_stopped(stopping.cancelled()).await });
    test(&receiver).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    fs::remove_dir_all(&receiver.folder).unwrap();
}

impl Receiver {
    /// Runs the command with the receiver's configuration.
    pub(crate) async fn oncehook(&self, arguments: &[&str]) -> Output {
        self.oncehook_with(&self.folder.join("oncehook.toml"), arguments).await
    }

    /// The same with another one.
    pub(crate) async fn oncehook_with(&self, config: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oncehook"));
        command.args(arguments).env_clear().env("ONCEHOOK_CONFIG", config).env("INGEST_URL", &self.url);
        command.kill_on_drop(true).output().await.unwrap()
    }

    /// Its metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(format!("{}/metrics", self.ops_url)).await.unwrap().text().await.unwrap()
    }
}

/// Writes a file into a folder.
pub(crate) fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}
