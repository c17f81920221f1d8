//! An address that takes connections and never says a word: a frozen service, or a firewall that drops.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wait::PATIENCE;

/// A listener that never answers.
pub struct BlackHole {
    /// Where it listens.
    pub address: SocketAddr,
    given_up: watch::Receiver<usize>,
}

impl BlackHole {
    /// Begins to listen on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, given_up) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    listen_in_vain(client).await;
                    count.send_modify(|count| *count += 1);
                });
            }
        });
        Self { address, given_up }
    }

    /// Waits until so many clients have closed their connections.
    ///
    /// # Panics
    /// When they have not after [`PATIENCE`].
    pub async fn was_given_up(&mut self, times: usize) {
        let waiting = self.given_up.wait_for(|count| *count >= times);
        tokio::time::timeout(PATIENCE, waiting).await.expect("clients give up").unwrap();
    }
}

async fn listen_in_vain(mut client: TcpStream) {
    let mut words = [0; 1024];
    while let Ok(1..) = client.read(&mut words).await {}
}
