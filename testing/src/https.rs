//! A web server over TLS that serves what a test gives it, well or badly, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::authority::Issued;

/// How a path is answered; any other is answered 404.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this.
    Body(String),
    /// 302 to this address.
    Redirect(String),
    /// Nothing, ever.
    Silence,
    /// 200, and then a body of which no more than the first bytes ever come.
    BreaksOff,
}

/// The running server; it ends with the runtime.
pub struct Https {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Https {
    /// Starts one that shows this certificate.
    pub async fn start(identity: &Issued, replies: BTreeMap<String, Reply>) -> Self {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let (asked, replies) = (Arc::clone(&server.asked), Arc::new(replies));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, asked, replies) = (acceptor.clone(), Arc::clone(&asked), Arc::clone(&replies));
                tokio::spawn(async move { serve(stream, acceptor, &asked, &replies).await });
            }
        });
        server
    }

    /// The paths that it was asked for until now.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one request. Whoever does not trust the certificate never sends one.
async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    asked: &Mutex<Vec<String>>,
    replies: &BTreeMap<String, Reply>,
) -> Option<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await.ok()?);
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut line = String::new();
    while stream.read_line(&mut line).await.ok()? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1)?.to_owned();
    let reply = replies.get(&path).cloned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    let (answer, ends) = match reply {
        Some(Reply::Body(body)) => (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()), true),
        Some(Reply::Redirect(to)) => {
            (format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"), true)
        }
        Some(Reply::Silence) => (String::new(), false),
        Some(Reply::BreaksOff) => ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n-----BEGIN".to_owned(), false),
        None => ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), true),
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    if !ends {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await.ok()
}
