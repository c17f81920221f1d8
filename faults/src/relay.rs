//! A TCP relay that breaks as networks break: black holes, resets and half-open connections, in mid-frame.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Everything passes.
    Fair,
    /// Nothing passes, in either direction, and nobody is told. It passes later, as TCP sends it again.
    BlackHole,
    /// The next COMMITs turn their connections into black holes, for good: before the COMMIT passes, or before its
    /// answer does.
    LosesCommits { left: u32, answer_only: bool },
}

/// How connections end in mid-frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both sides get a reset.
    Reset,
    /// The service sees an end, the client sees nothing at all.
    HalfOpen,
}

#[derive(Debug, Clone, Copy)]
struct State {
    weather: Weather,
    /// Connections that are older than the last cut end by it.
    cuts: u64,
    cut: Cut,
}

/// A relay to one service.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Relay {
    /// Starts a relay to `host:port`; everything passes.
    pub(crate) async fn to(target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State { weather: Weather::Fair, cuts: 0, cut: Cut::Reset }));
        let target: Arc<str> = target.into();
        let weather = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, weather) = (Arc::clone(&target), Arc::clone(&weather));
                tokio::spawn(async move {
                    // In a black hole, not even a connection comes about.
                    if fair(&mut weather.subscribe()).await.is_ok()
                        && let Ok(service) = TcpStream::connect(&*target).await
                    {
                        relay(client, service, &weather).await;
                    }
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Everything passes, also what was held.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| state.weather = Weather::Fair);
    }

    /// Nothing passes any more.
    pub(crate) fn swallow(&self) {
        self.state.send_modify(|state| state.weather = Weather::BlackHole);
    }

    /// The next COMMITs end in a black hole, or their answers do; their connections never come back.
    pub(crate) fn lose_commits(&self, left: u32, answer_only: bool) {
        self.state.send_modify(|state| state.weather = Weather::LosesCommits { left, answer_only });
    }

    /// Waits until all of them are lost.
    pub(crate) async fn commits_are_lost(&self) {
        let mut seen = self.state.subscribe();
        let over = seen.wait_for(|state| !matches!(state.weather, Weather::LosesCommits { .. })).await;
        debug_assert!(over.is_ok(), "we hold the sender");
    }

    /// Ends every connection in the middle of what it says next.
    pub(crate) fn cut(&self, cut: Cut) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.cut = cut;
        });
    }
}

/// Waits until something may pass.
async fn fair(seen: &mut watch::Receiver<State>) -> Result<(), watch::error::RecvError> {
    seen.wait_for(|state| state.weather != Weather::BlackHole).await.map(|_state| ())
}

async fn relay(client: TcpStream, service: TcpStream, state: &watch::Sender<State>) {
    let born = state.borrow().cuts;
    let lost = AtomicBool::new(false);
    // Resets instead of a graceful end, whoever ends: a killed process is seen as gone either way.
    let (from_client, to_client) = client.into_split();
    let (from_service, to_service) = service.into_split();
    let pump = |from, to, speaks| Pump { from, to, state, seen: state.subscribe(), born, lost: &lost, speaks };
    let mut words = pump(from_client, to_service, Side::Client);
    let mut answers = pump(from_service, to_client, Side::Service);
    let cut = tokio::select! {
        cut = words.run() => cut,
        cut = answers.run() => cut,
    };
    match cut {
        None => {}
        Some(Cut::Reset) => {
            for socket in [words.from.as_ref(), answers.from.as_ref()] {
                let gone_already = socket.set_zero_linger().is_err();
                if gone_already {
                    continue;
                }
            }
        }
        Some(Cut::HalfOpen) => {
            let Pump { from, to, .. } = answers;
            let Pump { from: kept, to: ended, .. } = words;
            drop((from, ended));
            // The client's half stays open and silent until the relay ends.
            let (_kept, _to) = (kept, to);
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Service,
}

/// One direction of a connection.
struct Pump<'r> {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: &'r watch::Sender<State>,
    seen: watch::Receiver<State>,
    born: u64,
    /// A COMMIT was lost on this connection: nothing comes back any more.
    lost: &'r AtomicBool,
    speaks: Side,
}

impl Pump<'_> {
    /// Passes on what is said until one side ends (`None`) or a cut does.
    async fn run(&mut self) -> Option<Cut> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(read @ 1..) = self.from.read(&mut buffer).await else { return None };
            let said = buffer.get(..read)?;
            let commits = self.speaks == Side::Client && said.windows(6).any(|window| window == b"COMMIT");
            if commits && let Some(answer_only) = self.take_commit() {
                self.lost.store(true, Ordering::SeqCst);
                if answer_only {
                    self.to.write_all(said).await.ok()?;
                }
                return self.swallow().await;
            }
            fair(&mut self.seen).await.ok()?;
            if self.speaks == Side::Service && self.lost.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let state = *self.seen.borrow();
            if state.cuts > self.born {
                self.to.write_all(said.get(..read.div_ceil(2))?).await.ok()?;
                return Some(state.cut);
            }
            self.to.write_all(said).await.ok()?;
        }
    }

    /// Whether this COMMIT is to be lost: `Some(true)` when only its answer is.
    fn take_commit(&self) -> Option<bool> {
        let mut taken = None;
        self.state.send_if_modified(|state| {
            let Weather::LosesCommits { left, answer_only } = state.weather else { return false };
            taken = Some(answer_only);
            state.weather =
                if left > 1 { Weather::LosesCommits { left: left - 1, answer_only } } else { Weather::Fair };
            true
        });
        taken
    }

    /// Reads what is said and passes nothing on, until nobody speaks any more.
    async fn swallow(&mut self) -> Option<Cut> {
        let mut buffer = vec![0; 1024];
        while let Ok(1..) = self.from.read(&mut buffer).await {}
        None
    }
}
