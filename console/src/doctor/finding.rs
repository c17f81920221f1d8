//! What the doctor found, and how bad it is.

use serde::Serialize;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Area {
    /// `oncehook.toml`, the provider files, retention.
    Configuration,
    /// What webhooks and calls are signed with.
    Secrets,
    /// `RabbitMQ` and its queues.
    Broker,
    /// Postgres and the schema in it.
    Database,
    /// The mail server.
    Mail,
    /// The services that effects call.
    Calls,
    /// ingest's disk.
    Spool,
    /// The ingests and workers that run.
    Services,
    /// What this machine allows a process.
    Limits,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and will not always.
    Warning,
    /// Does not work.
    Failure,
    /// Not looked at; the text says why.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) area: Area,
    /// Which of them, as in `sources.shopify`.
    pub(crate) subject: String,
    pub(crate) status: Verdict,
    /// What was found, or why it was not looked at.
    pub(crate) found: String,
    /// What to do about it; `null` when there is nothing to do.
    pub(crate) mend: Option<String>,
}

/// What was found in one area.
#[derive(Debug)]
pub(crate) struct Findings {
    area: Area,
    list: Vec<Finding>,
}

impl Findings {
    pub(crate) fn of(area: Area) -> Self {
        Self { area, list: Vec::new() }
    }

    /// It is as it should be.
    pub(crate) fn ok(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.add(Verdict::Ok, subject.into(), found.into(), None);
    }

    /// It works, and will not always.
    pub(crate) fn warn(&mut self, subject: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) {
        self.add(Verdict::Warning, subject.into(), found.into(), Some(mend.into()));
    }

    /// It does not work.
    pub(crate) fn fail(&mut self, subject: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) {
        self.add(Verdict::Failure, subject.into(), found.into(), Some(mend.into()));
    }

    /// It was not looked at.
    pub(crate) fn skip(&mut self, subject: impl Into<String>, why: impl Into<String>) {
        self.add(Verdict::Skipped, subject.into(), why.into(), None);
    }

    /// What was found elsewhere, on another thread or beside others.
    pub(crate) fn take(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    pub(crate) fn into_list(self) -> Vec<Finding> {
        self.list
    }

    fn add(&mut self, status: Verdict, subject: String, found: String, mend: Option<String>) {
        self.list.push(Finding { area: self.area, subject, status, found, mend });
    }
}

#[cfg(test)]
impl Findings {
    /// What a look finds, each on a line, without how to mend it.
    pub(crate) fn told_by(look: impl FnOnce(&mut Self)) -> Vec<String> {
        let mut found = Self::of(Area::Configuration);
        look(&mut found);
        let line = |Finding { subject, status, found, .. }: Finding| format!("{} {subject}: {found}", status.as_str());
        found.into_list().into_iter().map(line).collect()
    }
}

impl Area {
    /// As the report heads it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Secrets => "secrets",
            Self::Broker => "broker",
            Self::Database => "database",
            Self::Mail => "mail",
            Self::Calls => "calls",
            Self::Spool => "spool",
            Self::Services => "services",
            Self::Limits => "limits",
        }
    }
}

impl Verdict {
    /// As the report says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}
