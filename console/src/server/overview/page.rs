//! `/`, and the part of it that is fetched anew every two seconds.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use askama::Template;
use time::OffsetDateTime;

use super::judge::{Concern, Severity};
use super::view::Overview;
use crate::server::access::Caller;
use crate::server::monitor::ring::Bound;
use crate::server::page::{self, Frame, age};
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Concerns that are listed; of more, how many there are.
const CONCERNS: usize = 12;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    overview: Overview,
}

#[derive(Template)]
#[template(path = "overview_now.html")]
struct OverviewNow {
    overview: Overview,
}

/// `GET /`.
pub(crate) async fn overview(caller: Caller, console: Shared) -> Result<HttpResponse, Problem> {
    page::html(&OverviewPage { frame: Frame::new(&caller, "Overview", "/"), overview: now(&console) })
}

/// `GET /overview/now`: what changes.
pub(crate) async fn now_part(_caller: Caller, console: Shared) -> Result<HttpResponse, Problem> {
    page::html(&OverviewNow { overview: now(&console) })
}

fn now(console: &Shared) -> Overview {
    Overview::of(console, OffsetDateTime::now_utc())
}

impl Overview {
    /// The numbers on top: what, how many a minute, and whether many of them are bad.
    fn tiles(&self) -> [(&'static str, String, &'static str); 6] {
        let rates = &self.per_minute;
        let bad = |rate: f64| if rate > 0.0 { "warn" } else { "" };
        [
            ("Received", rate(rates.received), ""),
            ("Processed", rate(rates.processed), ""),
            ("Duplicates", rate(rates.duplicates), ""),
            ("Refused", rate(rates.refused), bad(rates.refused)),
            ("Retried", rate(rates.retried), bad(rates.retried)),
            ("Parked", rate(rates.parked), bad(rates.parked)),
        ]
    }

    fn latencies(&self) -> [(&'static str, String); 3] {
        let text = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), duration);
        [("p50", text(self.latency.p50_s)), ("p95", text(self.latency.p95_s)), ("p99", text(self.latency.p99_s))]
    }

    /// The first of them, each with an id for its link: a page that is swapped keeps the focus on what has one. It names
    /// where the link leads, so that the focus stays on a link to there, whatever comes before it.
    fn first_concerns(&self) -> Vec<(String, &Concern)> {
        let (mut shown, mut links) = (Vec::new(), BTreeMap::new());
        for concern in self.concerns.iter().take(CONCERNS) {
            let links = links.entry(concern.page).or_insert(0);
            *links += 1;
            shown.push((format!("concern-{}-{links}", concern.page.trim_start_matches('/')), concern));
        }
        shown
    }

    fn further_concerns(&self) -> usize {
        self.concerns.len().saturating_sub(CONCERNS)
    }

    fn has_fault(&self) -> bool {
        self.concerns.iter().any(|concern| concern.severity == Severity::Fault)
    }
}

fn rate(a_minute: f64) -> String {
    match a_minute {
        few if few > 0.0 && few < 10.0 => format!("{few:.1}"),
        many if many >= 100_000.0 => format!("{:.0}k", many / 1_000.0),
        some => format!("{some:.0}"),
    }
}

/// A latency in the unit that suits it. The largest bucket ends at a day.
fn duration(seconds: f64) -> String {
    match seconds {
        long if long >= 86_400.0 => "≥ 1 d".to_owned(),
        long if long >= 7_200.0 => format!("{:.0} h", long / 3_600.0),
        long if long >= 120.0 => format!("{:.0} min", long / 60.0),
        long if long >= 10.0 => format!("{long:.0} s"),
        long if long >= 1.0 => format!("{long:.1} s"),
        short => format!("{:.0} ms", short * 1_000.0),
    }
}

fn seconds(seconds: &u64) -> String {
    age(&i64::try_from(*seconds).unwrap_or(i64::MAX))
}

/// Bytes in the unit that suits them.
fn bytes(bytes: &u64) -> String {
    match *bytes {
        many if many >= 10_000_000 => format!("{} MB", many / 1_000_000),
        some if some >= 10_000 => format!("{} kB", some / 1_000),
        few => format!("{few} B"),
    }
}
