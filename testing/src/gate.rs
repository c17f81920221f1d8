//! A TCP relay that can hold back what a client says: the peer's words still arrive, the client's
//! do not. So an acknowledgement is made never to arrive, without racing for it. Dropped, it ends every
//! connection and refuses new ones, as a machine does whose service has died.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A relay to one service.
pub struct Gate {
    /// Where clients connect.
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    clients: Arc<AtomicUsize>,
    _alive: DropGuard,
}

impl Gate {
    /// Starts a relay to `host:port`; it is open.
    pub async fn to(target: String) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), target).await
    }

    /// The same at an address that clients know already: until now, nobody has answered there.
    pub async fn at(address: SocketAddr, target: String) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        let gone = CancellationToken::new();
        let ended = gone.clone();
        let clients = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&clients);
        tokio::spawn(async move {
            while let Some(Ok((client, _))) = ended.run_until_cancelled(listener.accept()).await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (target, is_open, ended) = (target.clone(), is_open.clone(), ended.clone());
                tokio::spawn(async move {
                    if let Ok(service) = TcpStream::connect(&target).await {
                        ended.run_until_cancelled(relay(client, service, is_open)).await;
                    }
                });
            }
        });
        Self { address, open, clients, _alive: gone.drop_guard() }
    }

    /// How many connections were made through it until now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// From now on, nothing that clients say arrives.
    pub fn hold_clients(&self) {
        self.open.send_replace(false);
    }

    /// What clients have said meanwhile arrives, and what they say from now on.
    pub fn release_clients(&self) {
        self.open.send_replace(true);
    }
}

async fn relay(client: TcpStream, service: TcpStream, mut is_open: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_service, mut to_service) = service.into_split();
    let answers = async {
        let ended = tokio::io::copy(&mut from_service, &mut to_client).await;
        drop(ended);
    };
    let words = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if is_open.wait_for(|open| *open).await.is_err() || to_service.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    // Either side's end ends both: a killed client's connection is closed at the service, too.
    tokio::select! { () = answers => {}, () = words => {} }
}
