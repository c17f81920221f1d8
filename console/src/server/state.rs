//! What all handlers share.

use std::net::IpAddr;

use actix_web::web::Data;
use deadpool_postgres::{Client, Pool};
use shared::config::Config;
use shared::provider::Catalogue;

use super::access::attempts::Attempts;
use super::access::sessions::Sessions;
use super::access::tokens::Tokens;
use super::jobs::Jobs;
use super::metrics::Metrics;
use super::monitor::Monitor;
use super::problem::Problem;
use crate::settings::Settings;

/// The console's state; one for all of its threads.
pub(crate) struct Console {
    pub(crate) pool: Pool,
    /// Connections of jobs, which hold them for long: pages and logins never wait for one.
    pub(crate) job_pool: Pool,
    pub(crate) config: Config,
    pub(crate) providers: Catalogue,
    /// Where the broker is, for what is redriven and replayed.
    pub(crate) settings: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) attempts: Attempts,
    pub(crate) sessions: Sessions,
    /// Proxies that are believed when they say for whom they speak.
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) monitor: Monitor,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Metrics,
    /// What outlives a request runs here: a server's thread ends before its jobs have.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Console {
    /// A connection to the database.
    ///
    /// # Errors
    /// When it is away.
    pub(crate) async fn database(&self) -> Result<Client, Problem> {
        Ok(self.pool.get().await?)
    }
}

/// The state as handlers get it.
pub(crate) type Shared = Data<Console>;
