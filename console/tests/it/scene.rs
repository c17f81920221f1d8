//! The command line, as a user or a script runs it.

use std::process::Output;

use testing::Stack;
use testing::services::setting;
use tokio::process::Command;

/// Runs the command.
pub(crate) async fn oncehook(stack: &Stack, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncehook"))
        .args(arguments)
        .env_clear()
        .env("ONCEHOOK_CONFIG", stack.configure(str::to_owned))
        .env("DATABASE_URL", &stack.database.url)
        .env("AMQP_URL", setting("AMQP_URL"))
        .output()
        .await
        .unwrap()
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
