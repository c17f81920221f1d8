//! The arguments of `oncehook console`, and how it is run.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use shared::shutdown;

use super::access::tokens::ConfiguredTokens;
use super::application::Application;
use crate::settings::Settings;

/// Jobs that run at once where nothing else is said.
const JOBS_AT_ONCE: usize = 4;

/// The arguments of `oncehook console`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConsoleArgs {
    #[command(subcommand)]
    command: Option<ConsoleCommand>,
    /// Where the pages and the API are served.
    #[arg(long, env = "CONSOLE_LISTEN", default_value = "127.0.0.1:8081")]
    pub(super) listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served; keep it off the public network.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9092")]
    pub(super) ops_listen: SocketAddr,
    /// The token of those who may look and act, at least 24 characters. Without one, the console makes one up at its
    /// first start and prints it once.
    #[arg(long, env = "CONSOLE_OPERATOR_TOKEN", hide_env_values = true)]
    operator_token: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "CONSOLE_OPERATOR_TOKEN_FILE")]
    operator_token_file: Option<PathBuf>,
    /// The token of those who may look and not act, at least 24 characters.
    #[arg(long, env = "CONSOLE_VIEWER_TOKEN", hide_env_values = true)]
    viewer_token: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "CONSOLE_VIEWER_TOKEN_FILE")]
    viewer_token_file: Option<PathBuf>,
    /// The addresses of reverse proxies in front of the console, with commas: for whom they say to speak
    /// (`X-Forwarded-For`) is who is counted for wrong tokens and named in the audit. Without it, that is the proxy.
    #[arg(long, env = "CONSOLE_PROXIES", value_delimiter = ',', value_parser = proxy)]
    proxies: Vec<Option<IpAddr>>,
    /// Jobs that run at once (redrives, replays and what else takes longer than an answer); each holds a connection to
    /// Postgres while it runs.
    #[arg(long, env = "CONSOLE_JOBS", default_value_t = JOBS_AT_ONCE, value_parser = at_once)]
    pub(super) jobs: usize,
    /// Where the broker tells its own metrics, <http://host:15692>; a cluster's nodes with commas between them. Without it,
    /// nobody knows how near the work queue is to `queue.max_bytes`.
    #[arg(long, env = "RABBITMQ_METRICS_URL")]
    pub(super) rabbitmq_metrics_url: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum ConsoleCommand {
    /// Ask the running console whether it is ready; the exit code tells.
    Healthcheck,
}

/// Runs the console until it is told to stop.
pub(crate) async fn run(
    arguments: &ConsoleArgs,
    settings: &Settings,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    if let Some(ConsoleCommand::Healthcheck) = arguments.command {
        shared::ops::healthcheck(arguments.ops_listen).map_err(anyhow::Error::msg)?;
        return Ok(ExitCode::SUCCESS);
    }
    let _logs = shared::telemetry::init();
    let application = Application::build(settings, arguments).await?;
    if let Some(made_up) = application.made_up_token() {
        let url = format!("http://{}", within_reach(application.address()?));
        let token = made_up.expose_secret();
        writeln!(
            out,
            "Made up a token for operators. It is shown this once; only its hash is kept.\n\n  {url}\n  {token}\n"
        )
        .and_then(|()| out.flush())
        .context("cannot print the token")?;
    }
    application.run_until_stopped(shutdown::signalled()).await?.context("cannot listen for signals")?;
    Ok(ExitCode::SUCCESS)
}

/// Where this machine reaches what listens there: an address of all interfaces is none to go to.
fn within_reach(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

impl ConsoleArgs {
    /// The proxies that are believed.
    pub(super) fn proxies(&self) -> Vec<IpAddr> {
        self.proxies.iter().copied().flatten().collect()
    }

    /// The tokens that are configured.
    ///
    /// # Errors
    /// When a file cannot be read, or a token stands in both places.
    pub(super) fn tokens(&self) -> anyhow::Result<ConfiguredTokens> {
        Ok(ConfiguredTokens {
            viewer: token("CONSOLE_VIEWER_TOKEN", self.viewer_token.as_ref(), self.viewer_token_file.as_ref())?,
            operator: token("CONSOLE_OPERATOR_TOKEN", self.operator_token.as_ref(), self.operator_token_file.as_ref())?,
        })
    }
}

/// Reads a proxy's address; none from an empty text, as which Compose passes an unset variable on.
fn proxy(text: &str) -> Result<Option<IpAddr>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_no_address| "give IP addresses, such as 172.18.0.5".to_owned()),
    }
}

/// Reads how many jobs run at once.
fn at_once(text: &str) -> Result<usize, String> {
    let jobs = if text.trim().is_empty() { Some(JOBS_AT_ONCE) } else { text.trim().parse().ok() };
    jobs.filter(|jobs| (1..=64).contains(jobs)).ok_or_else(|| "give a number from 1 to 64".to_owned())
}

/// Compose passes an unset variable on as an empty one.
fn token(name: &str, value: Option<&SecretString>, file: Option<&PathBuf>) -> anyhow::Result<Option<SecretString>> {
    let value = value.filter(|value| !value.expose_secret().is_empty()).cloned();
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(value) };
    anyhow::ensure!(value.is_none(), "set one of {name} and {name}_FILE");
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {} ({name}_FILE)", file.display()))?;
    Ok(Some(text.trim().to_owned().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_jobs_run_at_once_as_is_said_and_four_where_nothing_is() {
        assert_eq!([at_once(""), at_once(" 8 ")], [Ok(4), Ok(8)]);
        assert!(["0", "65", "many"].into_iter().all(|text| at_once(text).is_err()));
    }
}
