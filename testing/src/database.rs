//! A database of one's own: copied from a template that is migrated once.

use deadpool_postgres::{Client, Pool};
use secrecy::SecretString;
use shared::db::{self, DatabaseConfig, indexes, migrate, webhook_payloads};
use url::Url;
use uuid::Uuid;

use crate::services::setting;

/// The advisory lock of whoever makes the template.
const TEMPLATE_LOCK: i64 = 7_461_001;

/// A test's database.
pub struct Database {
    /// How to reach it.
    pub url: String,
    /// Connections to it.
    pub pool: Pool,
    name: String,
    admin: Pool,
}

impl Database {
    /// A migrated database with payload partitions.
    pub async fn migrated() -> Self {
        let admin = pool(&setting("DATABASE_URL"));
        let template = template(&admin).await;
        let database = Self::create(admin, &format!("TEMPLATE {template}")).await;
        let mut client = database.client().await;
        webhook_payloads::make_partitions(&mut client).await.unwrap();
        database
    }

    /// A database without any table.
    pub async fn empty() -> Self {
        Self::create(pool(&setting("DATABASE_URL")), "").await
    }

    async fn create(admin: Pool, options: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let client = connect(&admin).await;
        client.batch_execute(&format!("CREATE DATABASE {name} {options}")).await.unwrap();
        let url = url_of(&name);
        Self { pool: pool(&url), url, name, admin }
    }

    /// A connection.
    pub async fn client(&self) -> Client {
        connect(&self.pool).await
    }

    /// One number out of a query.
    pub async fn number(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &str) {
        self.client().await.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// The database's address for a user of its own, who has this password and may do what its owner may.
    pub async fn url_for_user_with(&self, password: &str) -> String {
        let (name, client) = (&self.name, connect(&self.admin).await);
        let owner = Url::parse(&self.url).unwrap().username().to_owned();
        let create = format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {owner}");
        client.batch_execute(&create).await.unwrap();
        let mut url = Url::parse(&self.url).unwrap();
        url.set_username(name).unwrap();
        url.set_password(Some(password)).unwrap();
        url.into()
    }

    /// Ends every session and lets nobody in: to a service, the database is away.
    pub async fn take_away(&self) {
        let (name, client) = (&self.name, connect(&self.admin).await);
        client.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
        client
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", &[name])
            .await
            .unwrap();
    }

    /// Lets services in again.
    pub async fn bring_back(&self) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        connect(&self.admin).await.batch_execute(&statement).await.unwrap();
    }

    /// How many sessions of the database wait for a lock. Asked from outside of it.
    pub async fn sessions_waiting_for_a_lock(&self) -> i64 {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
        connect(&self.admin).await.query_one(query, &[&self.name]).await.unwrap().get(0)
    }

    /// Deletes it, whoever is still connected, and its user.
    pub async fn drop(self) {
        let admin = connect(&self.admin).await;
        for what in ["DATABASE", "ROLE"] {
            let force = if what == "DATABASE" { "WITH (FORCE)" } else { "" };
            admin.batch_execute(&format!("DROP {what} IF EXISTS {} {force}", self.name)).await.unwrap();
        }
    }
}

fn url_of(name: &str) -> String {
    let mut url = Url::parse(&setting("DATABASE_URL")).unwrap();
    url.set_path(name);
    url.into()
}

fn pool(url: &str) -> Pool {
    db::pool(&DatabaseConfig {
        url: SecretString::from(url),
        connections: 4,
        statement_timeout_ms: 60_000,
        application: "oncehook test",
    })
    .unwrap()
}

async fn connect(pool: &Pool) -> Client {
    pool.get().await.unwrap_or_else(|error| panic!("no connection to the test Postgres (run `make test`): {error}"))
}

/// The template's name; made by whichever test comes first, again whenever a migration changes.
async fn template(admin: &Pool) -> String {
    let mut migrations: Vec<_> = std::fs::read_dir(crate::services::root().join("migrations"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    migrations.sort();
    let name = format!("template_{}", &hex::encode(shared::message::sha256(&migrations.concat()))[..16]);
    let client = connect(admin).await;
    client.batch_execute("SET lock_timeout = 0").await.unwrap();
    client.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
    let exists =
        client.query_opt("SELECT FROM pg_database WHERE datname = $1 AND datistemplate", &[&name]).await.unwrap();
    if exists.is_none() {
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let pool = pool(&url_of(&name));
        migrate::migrate(&pool).await.unwrap();
        indexes::build(&pool).await.unwrap();
        pool.close();
        client
            .batch_execute(&format!("ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"))
            .await
            .unwrap();
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
    name
}
