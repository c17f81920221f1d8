//! What came of a command that touches many webhooks: counted, never listed, so that a million fit.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::{Serialize, Serializer};
use shared::db::processed_webhooks::WebhookKey;
use shared::name::Name;
use utoipa::ToSchema;

use crate::output::{Shown, printable, table};

/// What is done to webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Parked ones go back to the queue.
    Redrive,
    /// Parked ones are given up.
    Discard,
    /// Processed ones run again.
    Replay,
}

/// Whether a report tells of something done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tense {
    /// It would be done; nothing is changed.
    Would,
    /// It is done.
    Done,
}

/// What came of something that touches many: what a job and the terminal say of it.
pub(crate) trait Reported: Shown + Serialize {
    /// How many it was done to, or would be.
    fn total(&self) -> u64;

    /// Whether it ended before it was through.
    fn is_stopped(&self) -> bool;
}

/// What was done to webhooks, or would be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Report {
    action: Action,
    tense: Tense,
    /// The run's name, for a replay: said again, it goes on where it stopped.
    #[schema(value_type = Option<String>)]
    pub(crate) run: Option<Name>,
    /// How many it was done to, by source, and by the reason they were parked or the status they were processed with.
    #[serde(serialize_with = "as_groups")]
    #[schema(value_type = Vec<Group>)]
    webhooks: BTreeMap<(String, &'static str), u64>,
    /// What it was not done to, by the reason why.
    #[serde(serialize_with = "as_refusals")]
    #[schema(value_type = Vec<Refusal>)]
    refused: BTreeMap<String, Refused>,
    /// How many somebody else changed meanwhile; they were left alone.
    overtaken: u64,
    /// Why it ended before it was through. What it did until then stands.
    stopped: Option<String>,
}

/// Webhooks that it was done to, of one source and for one reason.
#[derive(Serialize, ToSchema)]
struct Group<'a> {
    source: &'a str,
    /// Why they were parked, or how they had been processed.
    why: &'a str,
    webhooks: u64,
}

/// Webhooks that it was not done to.
#[derive(Serialize, ToSchema)]
struct Refusal<'a> {
    because: &'a str,
    webhooks: u64,
    /// One of them.
    example: &'a WebhookKey,
}

#[derive(Debug, Clone)]
struct Refused {
    webhooks: u64,
    /// One of them.
    example: WebhookKey,
}

impl Report {
    pub(crate) fn new(action: Action, tense: Tense) -> Self {
        let (webhooks, refused) = (BTreeMap::new(), BTreeMap::new());
        Self { action, tense, run: None, webhooks, refused, overtaken: 0, stopped: None }
    }

    /// What a survey comes to by itself: only a survey was asked for, or it found nothing to do. `None`: it goes on.
    pub(crate) fn concluded(&self, is_dry: bool) -> Option<Self> {
        match self.total() {
            _ if is_dry => Some(self.clone()),
            0 => Some(Self { tense: Tense::Done, ..self.clone() }),
            _ => None,
        }
    }

    /// It is done to a webhook.
    pub(crate) fn done(&mut self, source: &str, why: &'static str) {
        *self.webhooks.entry((source.to_owned(), why)).or_default() += 1;
    }

    /// It is not done to a webhook.
    pub(crate) fn refuse(&mut self, key: &WebhookKey, because: &impl ToString) {
        let fresh = || Refused { webhooks: 0, example: key.clone() };
        self.refused.entry(because.to_string()).or_insert_with(fresh).webhooks += 1;
    }

    /// Somebody else was faster with so many.
    pub(crate) fn overtaken(&mut self, webhooks: usize) {
        self.overtaken += webhooks as u64;
    }

    /// It ends here. Of several reasons, the first is why; the others came of it, and are told behind it.
    pub(crate) fn stop(&mut self, why: String) {
        self.stopped = Some(match self.stopped.take() {
            Some(first) => format!("{first}; then: {why}"),
            None => why,
        });
    }

    /// 1 when it ended early, 3 when something needs a person, 0 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.tense {
            _ if self.is_stopped() => ExitCode::FAILURE,
            Tense::Done if !self.refused.is_empty() => ExitCode::from(3),
            _ => ExitCode::SUCCESS,
        }
    }

    /// The question that a person is to say yes to: "redrive 12 webhooks (shopify plan 10, shopify data 2)".
    pub(crate) fn question(&self) -> String {
        let groups = self.webhooks.iter().map(|((source, why), webhooks)| format!("{source} {why} {webhooks}"));
        let groups: Vec<String> = groups.collect();
        format!("{} {} ({})", self.action.verb(), webhooks(self.total()), printable(&groups.join(", ")))
    }
}

impl Reported for Report {
    fn total(&self) -> u64 {
        self.webhooks.values().sum()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }
}

impl Shown for Report {
    fn text(&self) -> String {
        let (total, done) = (webhooks(self.total()), self.action.participle());
        let mut text = String::new();
        if !self.webhooks.is_empty() {
            let head = ["SOURCE", self.action.why(), "WEBHOOKS"];
            let row = |((source, why), webhooks): (&(String, &'static str), &u64)| {
                [printable(source), (*why).to_owned(), webhooks.to_string()]
            };
            text = table(head, self.webhooks.iter().map(row));
        }
        text += &match self.tense {
            Tense::Done => format!("{total} {done}\n"),
            Tense::Would => format!("{total} would be {done}; nothing is changed\n"),
        };
        if let Some(run) = &self.run {
            text += &format!("run: {run}\n");
        }
        if self.overtaken > 0 {
            text += &format!("{} changed meanwhile and left alone\n", webhooks(self.overtaken));
        }
        for (because, refused) in &self.refused {
            let WebhookKey { source, webhook_id } = &refused.example;
            let example = printable(&format!("{source} {webhook_id}"));
            text += &format!("! {} not {done}, for instance {example}: {because}\n", webhooks(refused.webhooks));
        }
        if let Some(why) = &self.stopped {
            text += &format!("! stopped: {why}\n");
        }
        text
    }
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
            Self::Replay => "replay",
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Discard => "discarded",
            Self::Replay => "replayed",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Redrive | Self::Discard => "REASON",
            Self::Replay => "STATUS",
        }
    }
}

/// "1 webhook", "2 webhooks".
fn webhooks(count: u64) -> String {
    if count == 1 { "1 webhook".to_owned() } else { format!("{count} webhooks") }
}

fn as_groups<S: Serializer>(groups: &BTreeMap<(String, &'static str), u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|((source, why), webhooks)| Group { source, why, webhooks: *webhooks }))
}

fn as_refusals<S: Serializer>(refused: &BTreeMap<String, Refused>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(refused.iter().map(|(because, refused)| Refusal {
        because,
        webhooks: refused.webhooks,
        example: &refused.example,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> WebhookKey {
        WebhookKey { source: "shopify".to_owned(), webhook_id: id.to_owned() }
    }

    #[test]
    fn a_report_says_what_was_done_and_what_was_not() {
        let mut report = Report::new(Action::Redrive, Tense::Done);
        report.done("shopify", "plan");
        report.done("shopify", "plan");
        report.done("github", "data");
        report.refuse(&key("old"), &"it is too old");
        report.refuse(&key("older"), &"it is too old");
        report.overtaken(1);
        assert_eq!(report.question(), "redrive 3 webhooks (github data 1, shopify plan 2)");
        insta::assert_snapshot!(report.text(), @r"
         SOURCE   REASON  WEBHOOKS
         github   data    1
         shopify  plan    2
        3 webhooks redriven
        1 webhook changed meanwhile and left alone
        ! 2 webhooks not redriven, for instance shopify old: it is too old
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["webhooks"][1], serde_json::json!({ "source": "shopify", "why": "plan", "webhooks": 2 }));
        assert_eq!((&json["refused"][0]["webhooks"], &json["overtaken"]), (&2.into(), &1.into()));
    }

    #[test]
    fn the_exit_code_tells_done_from_error_from_needs_a_person() {
        let mut report = Report::new(Action::Replay, Tense::Would);
        report.refuse(&key("gone"), &"its body is purged");
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.tense = Tense::Done;
        assert_eq!(report.exit_code(), ExitCode::from(3));
        report.stop("the broker is away".to_owned());
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
        report.stop("the publisher ended badly".to_owned());
        assert_eq!(report.stopped.as_deref(), Some("the broker is away; then: the publisher ended badly"));
    }
}
