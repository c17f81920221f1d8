//! The open loop: requests begin at a fixed rate, however long the answers take.
//!
//! Latency counts from when a request should have begun. One that waits for a free connection, or for this program to be
//! scheduled, has waited all the same: nothing is left out when the server is slow.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::try_join_all;
use tokio::sync::{Mutex, mpsc};

use super::closed::alone;
use super::connection::Connection;
use super::{Load, Span, Tally, Target, pace};

/// The moments at which requests should begin, taken by whichever connection is free.
type Moments = Rc<Mutex<mpsc::UnboundedReceiver<Instant>>>;

/// Sends at a rate, over the connections of the target.
///
/// # Errors
/// When an answer is not 200.
pub(crate) async fn open(target: Target, per_second: f64, span: Span) -> anyhow::Result<Load> {
    alone(move || run(target, per_second, span)).await
}

async fn run(target: Target, per_second: f64, span: Span) -> anyhow::Result<Load> {
    let connections = target.connections().await?;
    let tally = Rc::new(RefCell::new(Tally::begin(span)?));
    let moments: Moments = Rc::new(Mutex::new(pace(per_second, span.warm_up + span.counted)));
    let sending = connections.into_iter().map(|connection| {
        let sending = tokio::task::spawn_local(send(connection, Rc::clone(&moments), Rc::clone(&tally)));
        async move { sending.await? }
    });
    try_join_all(sending).await?;
    let tally = tally.borrow();
    tally.finish()
}

async fn send(mut connection: Connection, moments: Moments, tally: Rc<RefCell<Tally>>) -> anyhow::Result<()> {
    loop {
        let next = moments.lock().await.recv().await;
        let Some(intended) = next else { return Ok(()) };
        connection.exchange().await?;
        tally.borrow_mut().count(intended, intended);
    }
}
