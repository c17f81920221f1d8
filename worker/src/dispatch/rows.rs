//! What the dispatcher asks of the outbox, and how Postgres is asked. The simulation answers from a model instead.

use std::slice;
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use shared::db;
use shared::db::outbox::{self, Lease, Settled, Settling, probe};
use shared::error_chain::error_chain;
use tokio_postgres::Error;

/// The outbox. An error may mean that what was asked for is done, and nobody has heard of it.
pub(crate) trait Rows {
    /// Leases due rows, those that are due longest first, and none of effects that are shut.
    async fn lease(&self, limit: usize, shut: &[&str]) -> Result<Vec<Lease>, String>;

    /// Leases the row that is to probe an effect's destination, if one is due.
    async fn lease_probe(&self, effect: &str) -> Result<Option<Lease>, String>;

    /// Whether any row of an effect waits or is being sent.
    async fn is_under_way(&self, effect: &str) -> Result<bool, String>;

    /// Settles attempts and says of each, in their order, whether its lease held.
    async fn settle(&self, settlings: &[Settling]) -> Result<Vec<Settled>, String>;

    /// Whether an attempt was settled by a try that nobody heard of.
    async fn was_settled(&self, settling: &Settling) -> Result<bool, String>;

    /// Settles an attempt after a try that may have done it.
    async fn settle_again(&self, settling: &Settling) -> Result<Settled, String> {
        let settled = self.settle(slice::from_ref(settling)).await?;
        match settled.contains(&Settled::Done) || self.was_settled(settling).await? {
            true => Ok(Settled::Done),
            false => Ok(Settled::LeaseLost),
        }
    }
}

/// Postgres' table, as this worker uses it.
pub(crate) struct Table {
    pub(crate) pool: Pool,
    /// For how long rows are leased.
    pub(crate) lease: Duration,
    /// What this worker can perform. What it cannot is left to another.
    pub(crate) kinds: Vec<&'static str>,
    /// How long the database may take for a statement.
    pub(crate) patience: Duration,
}

impl Table {
    async fn ask<T>(&self, question: impl AsyncFnOnce(&mut Client) -> Result<T, Error>) -> Result<T, String> {
        let client = self.pool.get().await.map_err(|error| error_chain(&error))?;
        let answer = db::answer_within(self.patience, client, question).await;
        answer.map_err(|silent| silent.to_string())?.map_err(|error| error_chain(&error))
    }
}

impl Rows for Table {
    async fn lease(&self, limit: usize, shut: &[&str]) -> Result<Vec<Lease>, String> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ask(async |client| outbox::lease(client, limit, self.lease, &self.kinds, shut).await).await
    }

    async fn lease_probe(&self, effect: &str) -> Result<Option<Lease>, String> {
        self.ask(async |client| probe::lease(client, effect, self.lease, &self.kinds).await).await
    }

    async fn is_under_way(&self, effect: &str) -> Result<bool, String> {
        self.ask(async |client| probe::is_under_way(client, effect).await).await
    }

    async fn settle(&self, settlings: &[Settling]) -> Result<Vec<Settled>, String> {
        self.ask(async |client| outbox::settle(client, settlings).await).await
    }

    async fn was_settled(&self, settling: &Settling) -> Result<bool, String> {
        self.ask(async |client| outbox::was_settled(client, settling).await).await
    }
}
