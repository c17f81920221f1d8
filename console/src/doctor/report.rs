//! All findings, for a person or a script, and the exit code that follows from them.

use std::process::ExitCode;

use serde::Serialize;

use super::finding::{Finding, Verdict};
use crate::output::{Shown, Tone, painted, printable};

/// Width of the widest status.
const STATUS_WIDTH: usize = 7;

/// Whether warnings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// They are told.
    Lenient,
    /// They show in the exit code.
    Strict,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    failures: usize,
    warnings: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let (failures, warnings, skipped) = (count(Verdict::Failure), count(Verdict::Warning), count(Verdict::Skipped));
        Self { findings, failures, warnings, skipped }
    }

    /// 3, since something needs a person, with a failure, or with a warning if warnings count; 0 otherwise.
    pub(crate) fn exit_code(&self, strictness: Strictness) -> ExitCode {
        match (self.failures, self.warnings, strictness) {
            (1.., ..) | (0, 1.., Strictness::Strict) => ExitCode::from(3),
            (0, ..) => ExitCode::SUCCESS,
        }
    }
}

impl Shown for Report {
    fn text(&self) -> String {
        let (mut text, mut area) = (String::new(), None);
        for finding in &self.findings {
            if area != Some(finding.area) {
                let blank = if area.is_some() { "\n" } else { "" };
                text += &format!("{blank}{}\n", painted(Tone::Strong, finding.area.title()));
                area = Some(finding.area);
            }
            let status = format!("{:<STATUS_WIDTH$}", finding.status.as_str());
            let (subject, found) = (printable(&finding.subject), printable(&finding.found));
            text += &format!("  {} {subject}: {found}\n", painted(finding.status.tone(), &status));
            if let Some(mend) = &finding.mend {
                text += &format!("  {:STATUS_WIDTH$} to mend it: {}\n", "", printable(mend));
            }
        }
        let Self { failures, warnings, skipped, .. } = self;
        text + &match (failures, warnings) {
            (0, 0) => format!("\nall is fine ({skipped} skipped)\n"),
            _ => format!("\nfailures: {failures}, warnings: {warnings}, skipped: {skipped}\n"),
        }
    }
}

impl Verdict {
    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Doubtful,
            Self::Failure => Tone::Bad,
            Self::Skipped => Tone::Faint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Area, Findings};
    use crate::output::plain;

    fn report(fill: impl FnOnce(&mut Findings)) -> Report {
        let mut findings = Findings::of(Area::Broker);
        fill(&mut findings);
        Report::new(findings.into_list())
    }

    #[test]
    fn the_report_says_what_is_wrong_and_how_to_mend_it() {
        let report = report(|broker| {
            broker.ok("rabbit-1:5672", "RabbitMQ 3.10.8");
            broker.fail("webhooks", "there is\u{1b}[2J no such queue", "start a worker");
            broker.skip("clock", "nobody tells");
        });
        insta::assert_snapshot!(plain(&report.text()), @r"
        broker
          ok      rabbit-1:5672: RabbitMQ 3.10.8
          failure webhooks: there is\u{1b}[2J no such queue
                  to mend it: start a worker
          skipped clock: nobody tells

        failures: 1, warnings: 0, skipped: 1
        ");
    }

    #[test]
    fn the_exit_code_tells_what_needs_a_person() {
        let fine = report(|broker| broker.skip("clock", "nobody tells"));
        let doubtful = report(|broker| broker.warn("clock", "it is late", "set it"));
        let broken = report(|broker| broker.fail("clock", "it stands", "wind it up"));
        let codes = |report: &Report| [Strictness::Lenient, Strictness::Strict].map(|strict| report.exit_code(strict));
        assert_eq!(codes(&fine), [ExitCode::SUCCESS; 2]);
        assert_eq!(codes(&doubtful), [ExitCode::SUCCESS, ExitCode::from(3)]);
        assert_eq!(codes(&broken), [ExitCode::from(3); 2]);
    }
}
