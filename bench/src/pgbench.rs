//! pgbench running the worker's transactions: the limit that the database sets.
//!
//! pgbench can't make arrays, so each transaction's parameters are fetched from a table first. That fetch is no part of
//! the limit: what counts is the time that pgbench itself reports for the statements from BEGIN to END.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::process::Command;

use crate::database::Database;
use crate::settings::Settings;
use crate::statements::Transaction;

/// Commands of the script before BEGIN.
const PREPARING: usize = 3;

/// Transactions that wait to be run, in a schema that the worker does not know.
pub(crate) struct Replay {
    script: PathBuf,
    commands: usize,
    transactions: usize,
    clients: usize,
}

impl Replay {
    /// Writes transactions, all of the same form, into the database, and the script that runs them.
    ///
    /// # Errors
    /// When there are none, or the database refuses.
    pub(crate) async fn prepare(
        settings: &Settings,
        database: &Database,
        transactions: &[Transaction],
    ) -> anyhow::Result<Self> {
        let form = transactions.first().context("nothing to replay")?;
        let count: usize = form.iter().map(|statement| statement.parameters.len()).sum();
        let names: Vec<String> = (1..=count).map(|number| format!("p{number}")).collect();
        let columns: Vec<String> = names.iter().map(|name| format!("{name} text")).collect();
        database.execute("CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.batches").await?;
        let create = format!("CREATE UNLOGGED TABLE bench.batches (n int PRIMARY KEY, {})", columns.join(", "));
        database.execute(&create).await?;
        for name in &names {
            // What is compressed takes time to fetch.
            database.execute(&format!("ALTER TABLE bench.batches ALTER COLUMN {name} SET STORAGE EXTERNAL")).await?;
        }
        let places: Vec<String> = (2..=count + 1).map(|place| format!("${place}")).collect();
        let insert = format!("INSERT INTO bench.batches VALUES ($1, {})", places.join(", "));
        let insert = database.client().prepare(&insert).await?;
        for (transaction, n) in transactions.iter().zip(1_i32..) {
            let parameters = transaction.iter().flat_map(|statement| &statement.parameters);
            let mut row: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&n];
            row.extend(parameters.map(|parameter| parameter as &(dyn tokio_postgres::types::ToSql + Sync)));
            database.client().execute(&insert, &row).await?;
        }
        database.execute("VACUUM ANALYZE bench.batches").await?;
        let script = settings.data.join("replay.sql");
        std::fs::write(&script, script_text(form, &names)?)?;
        let commands = PREPARING + form.len() + 2;
        Ok(Self { script, commands, transactions: transactions.len(), clients: settings.writers })
    }

    /// Runs them all once, on empty tables; returns the webhooks that a second takes.
    ///
    /// # Errors
    /// When pgbench fails, or not all of them were processed.
    pub(crate) async fn run(&self, database: &Database) -> anyhow::Result<f64> {
        let (since, each) = (database.now().await?, self.transactions / self.clients);
        let output = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--report-per-command", "--define=n=0"])
            .args([format!("--define=step={}", self.clients), format!("--client={}", self.clients)])
            .args([format!("--transactions={each}"), format!("--file={}", self.script.display())])
            .arg(&database.url)
            .output()
            .await
            .context("cannot run pgbench")?;
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pgbench failed: {errors}");
        let milliseconds = transaction_milliseconds(&report, self.commands)?;
        let webhooks = u32::try_from(database.processed(since).await?)?;
        anyhow::ensure!(webhooks > 0, "pgbench has processed nothing");
        Ok(f64::from(webhooks) / (milliseconds / 1000.0 * f64::from(u32::try_from(each)?)))
    }
}

/// The transaction with its parameters as pgbench's variables; each client takes every `step`th row.
fn script_text(form: &Transaction, names: &[String]) -> anyhow::Result<String> {
    let mut script = String::from("\\set n :n + :step\n\\set row :n - :client_id\n");
    writeln!(script, "SELECT {} FROM bench.batches WHERE n = :row \\gset", names.join(", "))?;
    script.push_str("BEGIN;\n");
    let mut first = 1;
    for statement in form {
        let mut sql = statement.sql.clone();
        // From the last, or $1 would be found in $10.
        for place in (1..=statement.parameters.len()).rev() {
            sql = sql.replace(&format!("${place}"), &format!(":p{}", first + place - 1));
        }
        first += statement.parameters.len();
        writeln!(script, "{};", sql.trim())?;
    }
    script.push_str("END;\n");
    Ok(script)
}

/// What pgbench reports as the mean latency of each command, summed from BEGIN to END.
fn transaction_milliseconds(report: &str, commands: usize) -> anyhow::Result<f64> {
    let (_, latencies) = report.split_once("statement latencies").context("pgbench reports no latencies")?;
    let latencies: Vec<f64> = latencies
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("pgbench reports something else than latencies")?;
    anyhow::ensure!(latencies.len() == commands, "pgbench reports {} commands of {commands}", latencies.len());
    Ok(latencies.iter().skip(PREPARING).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::Statement;

    #[test]
    fn parameters_become_variables_in_the_order_of_the_statements() {
        let statement = |sql: &str, count| Statement { sql: sql.to_owned(), parameters: vec![String::new(); count] };
        let names: Vec<String> = (1..=3).map(|number| format!("p{number}")).collect();
        let form = vec![statement("SELECT $2::text[], $1::text[]", 2), statement("SELECT $1", 1)];
        let script = script_text(&form, &names).unwrap();
        assert!(script.contains("SELECT p1, p2, p3 FROM"), "{script}");
        assert!(script.ends_with("BEGIN;\nSELECT :p2::text[], :p1::text[];\nSELECT :p3;\nEND;\n"), "{script}");
    }

    #[test]
    fn only_the_transaction_counts() {
        let report = "tps = 9\nstatement latencies in milliseconds and failures:\n  0.001 0 \\set n\n  0.001 0 \\set row\n\
                      \n  9.000 0 SELECT\n  0.100 0 BEGIN;\n  2.000 0 INSERT\n  0.400 0 END;\n";
        assert!((transaction_milliseconds(report, 6).unwrap() - 2.5).abs() < 1e-9);
        assert!(transaction_milliseconds(report, 7).is_err());
    }
}
