//! The bare senders: lettre and reqwest, each kept busy at the same concurrency as the worker's dispatcher, without a
//! database. The limits for effects.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use uuid::Uuid;

/// How many sends, and how many of them at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sends {
    pub(crate) count: usize,
    pub(crate) concurrency: usize,
}

impl Sends {
    /// Mails to a server; returns how long they take.
    ///
    /// # Errors
    /// When one is not taken.
    pub(crate) async fn mails(self, server: SocketAddr, subject: &str, text: &str) -> anyhow::Result<Duration> {
        let pool = PoolConfig::new().max_size(u32::try_from(self.concurrency)?);
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.ip().to_string());
        let transport = transport.port(server.port()).pool_config(pool).build();
        self.run(async |number| {
            let message = Message::builder()
                .from("orders@shop.example".parse()?)
                .to(format!("buyer-{number}@customers.example").parse()?)
                .subject(subject)
                .message_id(Some(format!("<{}@shop.example>", Uuid::from_u128(fastrand::u128(..)))))
                .body(text.to_owned())?;
            transport.send(message).await?;
            Ok(())
        })
        .await
    }

    /// Calls of a service; returns how long they take.
    ///
    /// # Errors
    /// When one is not answered 2xx.
    pub(crate) async fn calls(self, service: SocketAddr, body: &str) -> anyhow::Result<Duration> {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("http://{service}/hooks");
        self.run(async |_number| {
            let call = client.post(&url).header("content-type", "application/json");
            let call = call.header("idempotency-key", Uuid::from_u128(fastrand::u128(..)).to_string());
            call.body(body.to_owned()).send().await?.error_for_status()?;
            Ok(())
        })
        .await
    }

    async fn run(self, one: impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<Duration> {
        let (began, next) = (Instant::now(), AtomicUsize::new(0));
        let sending = (0..self.concurrency).map(async |_slot| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return anyhow::Ok(());
                }
                one(number).await?;
            }
        });
        try_join_all(sending).await?;
        Ok(began.elapsed())
    }
}
