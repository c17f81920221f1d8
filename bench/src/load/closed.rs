//! The closed loop: each connection sends its next request when the last one is answered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::try_join_all;

use super::connection::Connection;
use super::{Load, Span, Tally, Target};

/// Sends over all connections of the target at once, for a time.
///
/// # Errors
/// When an answer is not 200.
pub(crate) async fn closed(target: Target, span: Span) -> anyhow::Result<Load> {
    alone(move || run(target, span)).await
}

/// Runs a future on a thread of its own: one, however many processors there are.
pub(super) async fn alone<F>(future: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<Load>
where
    F: Future<Output = anyhow::Result<Load>>,
{
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, future())
    })
    .await?
}

async fn run(target: Target, span: Span) -> anyhow::Result<Load> {
    let connections = target.connections().await?;
    let tally = Rc::new(RefCell::new(Tally::begin(span)?));
    let sending = connections.into_iter().map(|connection| {
        let sending = tokio::task::spawn_local(send(connection, Rc::clone(&tally)));
        async move { sending.await? }
    });
    try_join_all(sending).await?;
    let tally = tally.borrow();
    tally.finish()
}

async fn send(mut connection: Connection, tally: Rc<RefCell<Tally>>) -> anyhow::Result<()> {
    let end = tally.borrow().end();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(());
        }
        connection.exchange().await?;
        tally.borrow_mut().count(start, Instant::now());
    }
}
