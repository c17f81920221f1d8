//! What the worker says to Postgres, as Postgres has logged it: the very same statements, with the very same parameters.
//!
//! The limit for the worker is pgbench running its transactions. A copy of the statements kept here would grow old; so
//! a worker is run once with every statement logged, and its transactions are read back from the log, to be run again
//! on empty tables as if for the first time.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;

/// What a batch's transaction does and no other of the worker's.
const CLAIM: &str = "INSERT INTO processed_webhooks";

/// One statement with its parameters, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<String>,
}

/// One transaction, without its BEGIN and COMMIT.
pub(crate) type Transaction = Vec<Statement>;

/// The batches' transactions that were logged since the log had so many bytes: of the most frequent form, and only those.
///
/// # Errors
/// When the log can't be read, or has no such transaction.
pub(crate) fn captured(log: &Path, since: u64) -> anyhow::Result<Vec<Transaction>> {
    let log = std::fs::read(log).with_context(|| log.display().to_string())?;
    let log = log.get(usize::try_from(since)?..).context("the log of Postgres has become shorter")?;
    let batches = transactions(&String::from_utf8_lossy(log))?;
    let batches = batches.into_iter().filter(|batch| batch.iter().any(|statement| statement.sql.contains(CLAIM)));
    let mut forms: HashMap<Vec<String>, Vec<Transaction>> = HashMap::new();
    for batch in batches {
        forms.entry(batch.iter().map(|statement| statement.sql.clone()).collect()).or_default().push(batch);
    }
    forms.into_values().max_by_key(Vec::len).context("the log of Postgres has no batch of the worker")
}

/// All transactions of a log that were committed, by session.
fn transactions(log: &str) -> anyhow::Result<Vec<Transaction>> {
    let mut open: HashMap<&str, Transaction> = HashMap::new();
    let mut committed = Vec::new();
    for entry in entries(log) {
        let Some((session, level, text)) = parts(entry) else { continue };
        if level == "DETAIL" {
            let statement = open.get_mut(session).and_then(|transaction| transaction.last_mut());
            if let (Some(statement), Some((_, parameters))) = (statement, text.split_once("arameters: ")) {
                statement.parameters = values(parameters)?;
            }
        } else if let Some(sql) = text.strip_prefix("statement: ") {
            match sql.split_whitespace().next().unwrap_or_default() {
                "BEGIN" | "START" => drop(open.insert(session, Transaction::new())),
                "COMMIT" => committed.extend(open.remove(session)),
                _ => drop(open.remove(session)),
            }
        } else if let Some((_, sql)) = text.strip_prefix("execute ").and_then(|text| text.split_once(": ")) {
            let statement = Statement { sql: sql.replace("\n\t", "\n"), parameters: Vec::new() };
            open.entry(session).or_default().push(statement);
        }
    }
    Ok(committed)
}

/// Entries of a log. A line that continues one begins with a tab.
fn entries(log: &str) -> impl Iterator<Item = &str> {
    let mut rest = log;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += rest.get(end..)?.find('\n')? + 1;
            if !rest.get(end..)?.starts_with('\t') {
                break;
            }
        }
        let (entry, later) = rest.split_at(end);
        rest = later;
        Some(entry.trim_end())
    })
}

/// Session, level and text of an entry that begins as `log_line_prefix` of the instance says: `time [pid] user@database `.
fn parts(entry: &str) -> Option<(&str, &str, &str)> {
    let (_, rest) = entry.split_once(" [")?;
    let (session, rest) = rest.split_once("] ")?;
    let (before, text) = rest.split_once(":  ")?;
    Some((session, before.rsplit(' ').next()?, text))
}

/// The values of `$1 = 'it''s', $2 = '{a,b}'`.
fn values(text: &str) -> anyhow::Result<Vec<String>> {
    let (mut values, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once(" = '").context("a parameter is NULL, or was cut off")?;
        anyhow::ensure!(!name.contains(' '), "a parameter is NULL");
        let mut end = 0;
        loop {
            end += quoted.get(end..).and_then(|rest| rest.find('\'')).context("a parameter does not end")?;
            if quoted.get(end + 1..).is_some_and(|rest| rest.starts_with('\'')) {
                end += 2;
            } else {
                break;
            }
        }
        values.push(quoted.get(..end).unwrap_or_default().replace("''", "'").replace("\n\t", "\n"));
        rest = quoted.get(end + 1..).unwrap_or_default().trim_start_matches(", ");
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-03-01 10:00:00.000 UTC [7] oncehook@bench LOG:  statement: START TRANSACTION
2026-03-01 10:00:00.000 UTC [8] oncehook@bench LOG:  execute s1: SELECT 1
2026-03-01 10:00:00.000 UTC [7] oncehook@bench LOG:  execute s2: \n\
\t    INSERT INTO processed_webhooks\n\
\t    SELECT FROM unnest($1::text[], $2::text[])
2026-03-01 10:00:00.000 UTC [7] oncehook@bench DETAIL:  parameters: $1 = '{\"it''s, b\",c}', $2 = 'x'
2026-03-01 10:00:00.000 UTC [7] oncehook@bench LOG:  statement: COMMIT
2026-03-01 10:00:00.000 UTC [9] LOG:  checkpoint starting: time
";

    #[test]
    fn a_transaction_is_read_back_from_the_log() {
        let statement = Statement {
            sql: "\n    INSERT INTO processed_webhooks\n    SELECT FROM unnest($1::text[], $2::text[])".to_owned(),
            parameters: vec!["{\"it's, b\",c}".to_owned(), "x".to_owned()],
        };
        assert_eq!(transactions(LOG).unwrap(), [vec![statement]]);
    }

    #[test]
    fn what_was_rolled_back_is_left_out() {
        let log = LOG.replace("statement: COMMIT", "statement: ROLLBACK");
        assert_eq!(transactions(&log).unwrap(), Vec::<Transaction>::new());
    }
}
