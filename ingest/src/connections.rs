//! Open connections: counted, and ended when they idle too long.
//!
//! The HTTP server bounds a connection's first head and its idle time, but not two other ways to sit on one: a
//! second request whose head never ends, and chunks without end after a request was answered unread. So each
//! connection has a watch of its own: between two requests it may live for [`Watch::idle`], whatever
//! trickles in. While a request is answered it is left alone; the request has deadlines of its own.
//!
//! Invariant: after an answer that says `close`, or a request that does, nothing more of the connection is looked at.
//! The server itself would go on with what its sender had sent behind it (RFC 9112, 9.6 forbids that).

use std::any::Any;
use std::cell::Cell;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::rt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinHandle;

/// How long a closing connection's sender may take to see the answer.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The server's workers, one a core.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many connections each worker may have open: the server counts them per worker, so what is allowed in all is a
/// multiple of the workers.
pub(crate) fn per_worker(max_connections: u32) -> usize {
    (max_connections as usize).div_ceil(workers())
}

/// What every connection is watched by.
#[derive(Clone)]
pub(crate) struct Watch {
    /// Goes up and down with the connections.
    pub(crate) gauge: Gauge,
    /// How long a connection may be without a request being answered. Longer than the server's own keep-alive,
    /// which closes more politely.
    pub(crate) idle: Duration,
}

/// One connection; lives as long as its last trace in the server.
struct Open {
    gauge: Gauge,
    /// A second handle to the socket, to end it with.
    socket: Option<TcpStream>,
    /// Since when nothing is being answered; `None` while something is.
    idle_since: Cell<Option<Instant>>,
    /// Whether it has been said that it will be closed.
    closing: Cell<bool>,
    watcher: Cell<Option<JoinHandle<()>>>,
}

/// For `HttpServer::on_connect`.
pub(crate) fn opened(watch: &Watch, stream: &dyn Any, extensions: &mut Extensions) {
    let socket =
        stream.downcast_ref::<rt::net::TcpStream>().and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
    let open = Rc::new(Open {
        gauge: watch.gauge.clone(),
        socket: socket.map(TcpStream::from),
        idle_since: Cell::new(Some(Instant::now())),
        closing: Cell::new(false),
        watcher: Cell::new(None),
    });
    watch.gauge.inc();
    open.watcher.set(Some(rt::spawn(end_when_idle(Rc::downgrade(&open), watch.idle))));
    extensions.insert(open);
}

/// Marks the connection as busy while a request is answered, and leaves requests on a closing one alone; a
/// middleware.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(open) = request.conn_data::<Rc<Open>>().map(Rc::clone) else { return next.call(request).await };
    if open.closing.get() {
        // Never answered; the connection is ended soon.
        std::future::pending::<()>().await;
    }
    let _busy = Busy::begin(Rc::clone(&open));
    let last = request.head().connection_type() == ConnectionType::Close;
    let response = next.call(request).await?;
    if last || response.response().head().connection_type() == ConnectionType::Close {
        open.close_after(DISCONNECT_TIMEOUT);
    }
    Ok(response)
}

/// A request being answered; dropped when it was, or when its sender hung up.
struct Busy(Rc<Open>);

impl Busy {
    fn begin(open: Rc<Open>) -> Self {
        open.idle_since.set(None);
        Self(open)
    }
}

impl Open {
    /// The answer says that the connection is closed: its sender has this long to read it, and
    /// whatever it still sends is not read for longer.
    fn close_after(self: &Rc<Self>, limit: Duration) {
        self.closing.set(true);
        let watcher = rt::spawn(end_when_idle(Rc::downgrade(self), limit));
        if let Some(former) = self.watcher.replace(Some(watcher)) {
            former.abort();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.set(Some(Instant::now()));
    }
}

async fn end_when_idle(open: Weak<Open>, limit: Duration) {
    loop {
        let Some(idle) =
            open.upgrade().map(|open| open.idle_since.get().map_or(Duration::ZERO, |since| since.elapsed()))
        else {
            return;
        };
        match limit.checked_sub(idle) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            _ => {
                end(&open);
                return;
            }
        }
    }
}

fn end(open: &Weak<Open>) {
    let open = open.upgrade();
    if let Some(socket) = open.as_ref().and_then(|open| open.socket.as_ref())
        && let Err(error) = socket.shutdown(Shutdown::Both)
    {
        tracing::debug!(%error, "an idle connection was gone before it was closed");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}
