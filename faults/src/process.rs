//! Real processes under supervision: whatever ends is started again, as `restart: unless-stopped` would.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between an end and the next start.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// How long a process may take to stop; longer than a worker's drain.
const GRACE: Duration = Duration::from_secs(45);

/// How a process is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// `FAILPOINTS` of the first start, of the second, and so on; none when they are used up.
    pub(crate) failpoints: VecDeque<String>,
    /// Where its log goes.
    pub(crate) directory: PathBuf,
}

/// How often a process has ended without being told to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// By SIGKILL.
    pub(crate) killed: u32,
    /// By a panic, an abort or an error.
    pub(crate) failed: u32,
}

/// A process that is kept running.
pub(crate) struct Supervised {
    pid: watch::Receiver<Option<u32>>,
    ends: Arc<Mutex<Ends>>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Supervised {
    /// Starts it and keeps it running until [`Supervised::stop`].
    pub(crate) fn start(spec: Spec) -> Self {
        let (announce, pid) = watch::channel(None);
        let (ends, stop) = (Arc::default(), CancellationToken::new());
        let task = tokio::spawn(supervise(spec, announce, Arc::clone(&ends), stop.clone()));
        Self { pid, ends, stop, task }
    }

    /// Sends it a signal, if it runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.pid.borrow() {
            // It may have ended just now; then there is nobody to tell.
            let sent = kill(Pid::from_raw(pid.cast_signed()), signal);
            debug_assert!(sent.is_ok() || sent == Err(nix::errno::Errno::ESRCH));
        }
    }

    /// How often it has ended by itself, or by [`Supervised::signal`].
    pub(crate) fn ends(&self) -> Ends {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGTERM, its end, and no new start. Fails when it had to be killed or could not be started.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn supervise(
    mut spec: Spec,
    announce: watch::Sender<Option<u32>>,
    ends: Arc<Mutex<Ends>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let mut child = spawn(&mut spec)?;
        announce.send_replace(child.id());
        let ended = tokio::select! {
            status = child.wait() => status?,
            () = stop.cancelled() => {
                announce.send_replace(None);
                return end(&spec.name, child).await;
            }
        };
        announce.send_replace(None);
        note(&ends, ended);
        tokio::select! {
            () = tokio::time::sleep(RESTART_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

fn spawn(spec: &mut Spec) -> anyhow::Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(spec.directory.join(format!("{}.log", spec.name)))
        .with_context(|| format!("cannot open the log of {}", spec.name))?;
    // It ends with the suite, however that ends.
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(&spec.command);
    command.env_clear().envs(spec.environment.iter().cloned());
    command.env("PATH", "/usr/bin:/bin").stdin(std::process::Stdio::null());
    command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    if let Some(failpoints) = spec.failpoints.pop_front() {
        command.env("FAILPOINTS", failpoints);
    }
    command.spawn().with_context(|| format!("cannot start {}", spec.name))
}

fn note(ends: &Mutex<Ends>, status: ExitStatus) {
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    if status.signal() == Some(Signal::SIGKILL as i32) {
        ends.killed += 1;
    } else {
        ends.failed += 1;
    }
}

async fn end(name: &str, mut child: Child) -> anyhow::Result<()> {
    if let Some(pid) = child.id() {
        let pid = Pid::from_raw(pid.cast_signed());
        kill(pid, Signal::SIGTERM)?;
        kill(pid, Signal::SIGCONT)?;
    }
    match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(status) => {
            let status = status?;
            anyhow::ensure!(status.success(), "{name} was told to stop and ended with {status}");
            Ok(())
        }
        Err(_elapsed) => {
            child.kill().await?;
            anyhow::bail!("{name} did not stop within {} s", GRACE.as_secs())
        }
    }
}
