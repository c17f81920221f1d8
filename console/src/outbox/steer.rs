//! Sends effects again, holds them, gives them up: page by page, each page in one statement.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shared::db::outbox::rows::{self, OutboxRow, Show};
use shared::db::outbox::steer::{self, Steer};
use shared::error_chain::error_chain;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::output::{Shown, printable, table};
use crate::steering::{Reported, Tense};

/// Rows that are in memory at once, and changed in one statement.
const PAGE: i64 = 1_000;

/// What a command acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// Rows by their numbers, in order.
    Named(Vec<i64>),
    /// All rows that match.
    Matching {
        /// In which state.
        show: Show,
        /// Of which effect; `None` takes all.
        effect: Option<String>,
    },
}

/// Effects that something was done to, of one name and from one state.
#[derive(Serialize, ToSchema)]
struct EffectGroup<'a> {
    effect: &'a str,
    state: &'a str,
    rows: u64,
}

impl Chosen {
    /// As the audit says that something is done to it: what, to what in short, and in full.
    pub(crate) fn told(&self, action: Steer) -> (&'static str, String, Value) {
        let (subject, request) = match self {
            Self::Named(ids) => {
                let words: Vec<String> = ids.iter().map(ToString::to_string).collect();
                (words.join(" "), json!({ "ids": ids }))
            }
            Self::Matching { show, effect } => {
                let of = effect.as_ref().map(|effect| format!(" of {effect}")).unwrap_or_default();
                let filter = json!({ "show": show.as_str(), "effect": effect });
                (format!("all {}{of}", show.as_str()), json!({ "filter": filter }))
            }
        };
        (audited_as(action), subject, request)
    }
}

/// What an action is called in the audit.
pub(crate) fn audited_as(action: Steer) -> &'static str {
    match action {
        Steer::Resend => "outbox.resend",
        Steer::Hold => "outbox.hold",
        Steer::Cancel => "outbox.cancel",
    }
}

/// What was done to effects, or would be: counted, never listed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SteeredMany)]
pub(crate) struct Steered {
    #[serde(serialize_with = "as_verb")]
    #[schema(value_type = String)]
    action: Steer,
    tense: Tense,
    /// By effect, and by the state that they were in.
    #[serde(serialize_with = "as_groups")]
    #[schema(value_type = Vec<EffectGroup>)]
    effects: BTreeMap<(String, String), u64>,
    /// How many of them the peer may have seen already.
    ambiguous: u64,
    /// How many cannot have it done to them, by the state that they are in.
    refused: BTreeMap<String, u64>,
    /// How many somebody else changed meanwhile; they were left alone.
    overtaken: u64,
    /// How many that were named are not in the outbox.
    missing: u64,
    /// Why it ended before it was through. What it did until then stands, and the same goes on.
    stopped: Option<String>,
}

/// Looks at what would be done; changes nothing.
///
/// # Errors
/// When the outbox cannot be read.
pub(crate) async fn survey(client: &Client, chosen: &Chosen, action: Steer) -> anyhow::Result<Steered> {
    let mut found = Steered::new(action, Tense::Would);
    let mut walk = Walk::begin(chosen);
    while let Some(page) = walk.next(client).await? {
        page.rows.iter().for_each(|row| found.count(row));
        found.missing += page.missing;
    }
    Ok(found)
}

/// Makes sure that each row that is named is there.
///
/// # Errors
/// When one is not, or the outbox cannot be read.
pub(crate) async fn all_there(client: &Client, chosen: &Chosen) -> anyhow::Result<()> {
    let Chosen::Named(ids) = chosen else { return Ok(()) };
    for id in ids {
        let row = rows::find(client, *id).await.context("cannot read the outbox")?;
        row.with_context(|| format!("there is no effect {id} in the outbox"))?;
    }
    Ok(())
}

/// Does it page by page until told to stop, and tells `progress` how many rows it has passed. What stops it early stands in
/// the result, beside what was done until then.
pub(crate) async fn run(
    client: &Client,
    chosen: &Chosen,
    action: Steer,
    stop: &CancellationToken,
    progress: &impl Fn(usize),
) -> Steered {
    let mut done = Steered::new(action, Tense::Done);
    if let Err(error) = pages(client, chosen, stop, &mut done, progress).await {
        done.stopped = Some(error_chain(error.as_ref()));
    }
    done
}

async fn pages(
    client: &Client,
    chosen: &Chosen,
    stop: &CancellationToken,
    done: &mut Steered,
    progress: &impl Fn(usize),
) -> anyhow::Result<()> {
    let (action, mut walk) = (done.action, Walk::begin(chosen));
    while let Some(Page { rows: page, missing }) = walk.next(client).await? {
        anyhow::ensure!(!stop.is_cancelled(), "interrupted");
        let ids: Vec<i64> = page.iter().filter(|row| can(action, &row.state)).map(|row| row.id).collect();
        let changed = steer::steer(client, action, &ids).await.context("cannot change the outbox; say it again")?;
        let (kept, missed): (Vec<&OutboxRow>, Vec<&OutboxRow>) =
            page.iter().partition(|row| changed.contains(&row.id) || !can(action, &row.state));
        kept.into_iter().for_each(|row| done.count(row));
        done.overtaken += missed.len() as u64;
        done.missing += missing;
        progress(page.len());
    }
    Ok(())
}

/// The states that something can be done to; the statements have the last word.
fn can(action: Steer, state: &str) -> bool {
    match action {
        Steer::Resend => matches!(state, "pending" | "held" | "failed" | "cancelled"),
        Steer::Hold => state == "pending",
        Steer::Cancel => matches!(state, "pending" | "held" | "failed"),
    }
}

/// Rows that a walk has come to.
struct Page {
    rows: Vec<OutboxRow>,
    /// How many were named that are not there.
    missing: u64,
}

/// The chosen rows, page by page. What is planned after the beginning is not among them.
enum Walk<'c> {
    Named(std::slice::Iter<'c, i64>),
    Matching { show: Show, effect: Option<&'c str>, before: Option<i64> },
}

impl<'c> Walk<'c> {
    fn begin(chosen: &'c Chosen) -> Self {
        match chosen {
            Chosen::Named(ids) => Self::Named(ids.iter()),
            Chosen::Matching { show, effect } => {
                Self::Matching { show: *show, effect: effect.as_deref(), before: None }
            }
        }
    }

    async fn next(&mut self, client: &Client) -> anyhow::Result<Option<Page>> {
        match self {
            Self::Named(ids) => {
                let Some(id) = ids.next() else { return Ok(None) };
                let row = rows::find(client, *id).await.context("cannot read the outbox")?;
                Ok(Some(Page { missing: u64::from(row.is_none()), rows: row.into_iter().collect() }))
            }
            Self::Matching { show, effect, before } => {
                let rows = rows::page(client, *show, *effect, *before, PAGE).await.context("cannot read the outbox")?;
                *before = rows.last().map(|row| row.id);
                Ok(Some(Page { rows, missing: 0 }).filter(|page| !page.rows.is_empty()))
            }
        }
    }
}

impl Steered {
    fn new(action: Steer, tense: Tense) -> Self {
        let (effects, refused) = (BTreeMap::new(), BTreeMap::new());
        Self { action, tense, effects, ambiguous: 0, refused, overtaken: 0, missing: 0, stopped: None }
    }

    fn count(&mut self, row: &OutboxRow) {
        if can(self.action, &row.state) {
            *self.effects.entry((row.effect.clone(), row.state.clone())).or_default() += 1;
            self.ambiguous += u64::from(row.ambiguous);
        } else {
            *self.refused.entry(row.state.clone()).or_default() += 1;
        }
    }

    /// The same for what was found to need no doing.
    pub(crate) fn into_done(self) -> Self {
        Self { tense: Tense::Done, ..self }
    }

    /// The question that a person is to say yes to.
    pub(crate) fn question(&self) -> String {
        let groups = self.effects.iter().map(|((effect, state), rows)| format!("{effect} {state} {rows}"));
        let groups: Vec<String> = groups.collect();
        format!("{} {} ({})", verb(self.action), effects(self.total()), printable(&groups.join(", ")))
    }

    /// 1 when it ended early, 3 when something was not there or not in a state for it, 0 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.tense {
            _ if self.is_stopped() => ExitCode::FAILURE,
            Tense::Done if !self.refused.is_empty() || self.missing > 0 => ExitCode::from(3),
            Tense::Done | Tense::Would => ExitCode::SUCCESS,
        }
    }
}

impl Reported for Steered {
    fn total(&self) -> u64 {
        self.effects.values().sum()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }
}

impl Shown for Steered {
    fn text(&self) -> String {
        let (total, done) = (effects(self.total()), participle(self.action));
        let mut text = String::new();
        if !self.effects.is_empty() {
            let row = |((effect, state), rows): (&(String, String), &u64)| {
                [printable(effect), state.clone(), rows.to_string()]
            };
            text = table(["EFFECT", "WAS", "ROWS"], self.effects.iter().map(row));
        }
        text += &match self.tense {
            Tense::Done => format!("{total} {done}\n"),
            Tense::Would => format!("{total} would be {done}; nothing is changed\n"),
        };
        if self.ambiguous > 0 && self.action == Steer::Resend {
            text += &format!("{} of them ambiguous: the peer may see them twice, under the same key\n", self.ambiguous);
        }
        if self.overtaken > 0 {
            text += &format!("{} changed meanwhile and left alone\n", effects(self.overtaken));
        }
        for (state, rows) in &self.refused {
            text += &format!("! {} not {done}: the state is {state}\n", effects(*rows));
        }
        if self.missing > 0 {
            let them = if self.missing == 1 { "it is" } else { "they are" };
            text += &format!("! {} not {done}: {them} not in the outbox\n", effects(self.missing));
        }
        if let Some(why) = &self.stopped {
            text += &format!("! stopped: {why}\n");
        }
        text
    }
}

fn verb(action: Steer) -> &'static str {
    match action {
        Steer::Resend => "resend",
        Steer::Hold => "hold",
        Steer::Cancel => "cancel",
    }
}

fn participle(action: Steer) -> &'static str {
    match action {
        Steer::Resend => "to be sent again",
        Steer::Hold => "held",
        Steer::Cancel => "cancelled",
    }
}

/// "1 effect", "2 effects".
fn effects(count: u64) -> String {
    if count == 1 { "1 effect".to_owned() } else { format!("{count} effects") }
}

fn as_verb<S: Serializer>(action: &Steer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verb(*action))
}

fn as_groups<S: Serializer>(effects: &BTreeMap<(String, String), u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(effects.iter().map(|((effect, state), rows)| EffectGroup { effect, state, rows: *rows }))
}
