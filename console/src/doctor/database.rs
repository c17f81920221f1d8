//! Postgres: whether it can be reached, what it promises, the schema, the clock, and how near it is to its limits.

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error as DbError;
use shared::config::{Config, WorkerConfig};
use shared::db::indexes;
use shared::db::migrate::{self, SchemaStanding};
use shared::db::server::{self, Connections, NeglectedTable, ServerFacts};
use shared::db::webhook_payloads;
use shared::error_chain::error_chain;
use time::{Duration, OffsetDateTime};

use super::clock;
use super::finding::Findings;
use crate::connect;
use crate::server::CONNECTIONS_BESIDE_JOBS;
use crate::settings::Settings;

/// Of the connections that the server grants, in percent.
const CONNECTIONS_NEAR: i64 = 80;
/// Of the two thousand million transactions after which the server stops.
const TRANSACTION_AGE_NEAR: i64 = 1_000_000_000;

/// Looks at the database.
pub(super) async fn look(settings: &Settings, config: Option<&Config>, found: &mut Findings) {
    if settings.database_url.is_none() {
        let mend = "set it to postgres://user:password@host:5432/database";
        return found.fail("DATABASE_URL", "it is not set", mend);
    }
    let client = match connect::database(settings).await {
        Ok(client) => client,
        Err(error) => {
            let mend = "start Postgres, or mend host, port, user, password and database in DATABASE_URL";
            return found.fail("connection", error_chain(error.as_ref()), mend);
        }
    };
    if let Err(error) = ask(&client, config, found).await {
        found.fail("questions", error_chain(&error), "look into the server's log");
    }
}

async fn ask(client: &Client, config: Option<&Config>, found: &mut Findings) -> Result<(), DbError> {
    let facts = server::facts(client).await?;
    found.ok("connection", format!("Postgres {}", facts.version));
    promises(&facts, found);
    connections(server::connections(client).await?, config, found);
    transactions(&facts, found);
    compare_clocks(client, found).await?;
    let schema = migrate::standing(client).await?;
    migrations(&schema, found);
    if schema.applied == 0 {
        found.skip("partitions", "there is no schema yet");
    } else {
        partitions(client, found).await?;
        built(client, found).await?;
    }
    vacuum(&facts, &server::neglected(client).await?, found);
    Ok(())
}

/// What a COMMIT must mean, for an acknowledgement to mean anything.
fn promises(facts: &ServerFacts, found: &mut Findings) {
    if facts.read_only {
        let mend = "let DATABASE_URL lead to the primary (target_session_attrs=read-write with several hosts)";
        found.fail("writes", "this is a standby, or refuses to write", mend);
    }
    if facts.encoding != "UTF8" {
        let mend = "make the database anew with ENCODING 'UTF8' TEMPLATE template0";
        found.fail("encoding", format!("{} does not hold every text", facts.encoding), mend);
    }
    let lost = "what was acknowledged is forgotten when the server loses power";
    let safe = facts.fsync && facts.full_page_writes && facts.synchronous_commit != "off";
    if safe {
        found.ok("durability", format!("fsync on, synchronous_commit {}", facts.synchronous_commit));
    }
    if !facts.fsync {
        found.fail("durability", format!("fsync is off: {lost}"), "ALTER SYSTEM SET fsync = on, and reload");
    }
    if !facts.full_page_writes {
        let mend = "ALTER SYSTEM SET full_page_writes = on, and reload";
        found.fail("durability", "full_page_writes is off: a crash can leave pages half written", mend);
    }
    if facts.synchronous_commit == "off" {
        let mend = "ALTER ROLE … SET synchronous_commit = on for the worker's role";
        found.fail("durability", format!("synchronous_commit is off: {lost}"), mend);
    }
}

fn connections(connections: Connections, config: Option<&Config>, found: &mut Findings) {
    let Connections { used, granted } = connections;
    let counted = format!("{used} of {granted} are in use");
    let by_default = || WorkerConfig::default().database_connections;
    let each = config.map_or_else(by_default, |config| config.worker.database_connections);
    let takers = format!(
        "each worker takes up to {each} (worker.database_connections), a console up to {CONNECTIONS_BESIDE_JOBS} and one more \
         for each of CONSOLE_JOBS"
    );
    if used * 100 >= granted * CONNECTIONS_NEAR {
        found.warn("connections", counted, format!("raise max_connections; {takers}"));
    } else {
        found.ok("connections", format!("{counted}; {takers}"));
    }
}

fn transactions(facts: &ServerFacts, found: &mut Findings) {
    let age = facts.transaction_age;
    if age >= TRANSACTION_AGE_NEAR {
        let problem = format!("rows were last frozen {age} transactions ago; the server stops at 2000000000");
        let mend = "VACUUM FREEZE, and find out what holds autovacuum up: old transactions, slots";
        found.fail("transactions", problem, mend);
    }
}

async fn compare_clocks(client: &Client, found: &mut Findings) -> Result<(), DbError> {
    let before = OffsetDateTime::now_utc();
    let theirs = shared::db::now(client).await?;
    clock::compare("clock", apart(theirs, before, OffsetDateTime::now_utc()), found);
    Ok(())
}

/// How far a clock is from ours at least, when it was read at some moment between two of ours.
fn apart(theirs: OffsetDateTime, before: OffsetDateTime, after: OffsetDateTime) -> Duration {
    if theirs < before { before - theirs } else { (theirs - after).max(Duration::ZERO) }
}

fn migrations(schema: &SchemaStanding, found: &mut Findings) {
    let SchemaStanding { applied, missing, unknown, edited } = schema;
    if !missing.is_empty() {
        let mend = "start a worker of this version, or run `worker migrate`";
        found.fail("migrations", format!("not applied: {}", missing.join(", ")), mend);
    }
    if !unknown.is_empty() {
        let problem = format!("applied by a newer version: {}", unknown.join(", "));
        found.warn("migrations", problem, "bring this command and all services to the same version");
    }
    if !edited.is_empty() {
        let problem = format!("applied from another text: {}", edited.join(", "));
        found.fail("migrations", problem, "find out who edited a released migration, and take that back");
    }
    if missing.is_empty() && unknown.is_empty() && edited.is_empty() {
        found.ok("migrations", format!("all {applied} are applied"));
    }
}

async fn partitions(client: &Client, found: &mut Findings) -> Result<(), DbError> {
    let missing = webhook_payloads::missing_days(client).await?;
    match missing.first() {
        None => {
            found.ok("partitions", format!("bodies have room for today and {} days", webhook_payloads::DAYS_AHEAD));
        }
        Some(first) => {
            let mend = "a worker makes them every hour, and when it needs one: start one, or look into its log";
            found.warn("partitions", format!("{} days have none, the first of them {first}", missing.len()), mend);
        }
    }
    Ok(())
}

/// Indexes that only make looking faster, which a worker builds beside its work.
async fn built(client: &Client, found: &mut Findings) -> Result<(), DbError> {
    let missing = indexes::missing(client).await?;
    if missing.is_empty() {
        found.ok("indexes", "all are built");
    } else {
        let mend = "a worker builds them when it starts, behind every transaction that is open: run `worker migrate`, and \
                    end what holds it up (pg_stat_activity)";
        let problem = format!("{} not built yet: pages are slow until they are", missing.join(", "));
        found.warn("indexes", problem, mend);
    }
    Ok(())
}

fn vacuum(facts: &ServerFacts, neglected: &[NeglectedTable], found: &mut Findings) {
    if !facts.autovacuum {
        let mend = "ALTER SYSTEM SET autovacuum = on (and track_counts = on), and reload";
        found.fail("autovacuum", "it is off: the tables only grow", mend);
    } else if neglected.is_empty() {
        found.ok("autovacuum", "keeps up");
    }
    for table in neglected {
        let problem = format!("{} holds {} dead rows beside {} live ones", table.name, table.dead, table.live);
        let mend = "end transactions that are open for long (pg_stat_activity), or let autovacuum work harder";
        found.warn("autovacuum", problem, mend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server is after it was installed.
    fn sound() -> ServerFacts {
        ServerFacts {
            version: "17.2".to_owned(),
            encoding: "UTF8".to_owned(),
            read_only: false,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            autovacuum: true,
            transaction_age: 1_000,
        }
    }

    #[test]
    fn a_server_that_may_forget_a_commit_is_told_by_what_is_off() {
        let told = |facts: &ServerFacts| Findings::told_by(|found| promises(facts, found));
        assert_eq!(told(&sound()), ["ok durability: fsync on, synchronous_commit on"]);
        let careless = ServerFacts { fsync: false, full_page_writes: false, ..sound() };
        assert_eq!(
            told(&careless),
            [
                "failure durability: fsync is off: what was acknowledged is forgotten when the server loses power",
                "failure durability: full_page_writes is off: a crash can leave pages half written"
            ]
        );
        let hasty = ServerFacts { synchronous_commit: "off".to_owned(), ..sound() };
        assert_eq!(told(&hasty).len(), 1);
        assert!(told(&hasty)[0].starts_with("failure durability: synchronous_commit is off"));
        let standby = ServerFacts { read_only: true, encoding: "SQL_ASCII".to_owned(), ..sound() };
        assert_eq!(
            told(&standby)[..2],
            [
                "failure writes: this is a standby, or refuses to write",
                "failure encoding: SQL_ASCII does not hold every text"
            ]
        );
    }

    #[test]
    fn connections_are_near_their_end_from_eighty_percent_on() {
        let told =
            |used| Findings::told_by(|found| connections(Connections { used, granted: 100 }, None, found)).remove(0);
        assert!(told(79).starts_with("ok connections: 79 of 100 are in use; each worker takes up to "), "{}", told(79));
        assert!(!told(79).contains("up to 0 "), "a worker's default is told without a configuration: {}", told(79));
        assert_eq!(told(80), "warning connections: 80 of 100 are in use");
    }

    #[test]
    fn rows_that_were_not_frozen_for_long_are_told_before_the_server_stops() {
        let told = |transaction_age| {
            Findings::told_by(|found| transactions(&ServerFacts { transaction_age, ..sound() }, found))
        };
        assert!(told(TRANSACTION_AGE_NEAR - 1).is_empty());
        assert!(told(TRANSACTION_AGE_NEAR)[0].starts_with("failure transactions: rows were last frozen 1000000000"));
    }

    #[test]
    fn tables_that_are_not_vacuumed_are_named() {
        let bloated = NeglectedTable { name: "outbox".to_owned(), live: 10, dead: 200_000 };
        let told = |autovacuum, neglected: &[NeglectedTable]| {
            Findings::told_by(|found| vacuum(&ServerFacts { autovacuum, ..sound() }, neglected, found))
        };
        let named = "warning autovacuum: outbox holds 200000 dead rows beside 10 live ones";
        let off = "failure autovacuum: it is off: the tables only grow";
        assert_eq!(told(true, &[]), ["ok autovacuum: keeps up"]);
        assert_eq!(told(true, std::slice::from_ref(&bloated)), [named]);
        assert_eq!(told(false, &[bloated]), [off, named]);
    }

    #[test]
    fn a_clock_is_apart_only_by_what_the_question_did_not_take() {
        let (before, after) = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + Duration::SECOND);
        let told = |milliseconds| apart(before + Duration::milliseconds(milliseconds), before, after);
        assert_eq!([0, 500, 1_000].map(told), [Duration::ZERO; 3], "it was read while we asked");
        assert_eq!((told(-2_000), told(3_000)), (Duration::seconds(2), Duration::seconds(2)));
    }
}
