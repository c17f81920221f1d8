//! What the figures should be on two cores, and the table that says whether they are.

use comfy_table::{Table, presets};

use crate::results::{Figure, Results, Unit};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// The figures that have a goal.
const GOALS: [(&str, Goal); 13] = [
    ("ingest_ratio", Goal::AtLeast(0.85)),
    ("ingest_p99_ratio", Goal::AtMost(1.5)),
    ("worker_ratio", Goal::AtLeast(0.7)),
    ("worker_rate", Goal::AtLeast(8000.0)),
    ("batch_gain", Goal::AtLeast(5.0)),
    ("growth", Goal::AtLeast(0.85)),
    ("scale", Goal::AtLeast(0.97)), // never falling; less than that is noise
    ("memory", Goal::AtMost(40.0)),
    ("memory_backlog", Goal::AtMost(80.0)),
    ("start_ready_seconds", Goal::AtMost(1.0)),
    ("console_page_ms", Goal::AtMost(200.0)),
    ("binary_bytes_ingest", Goal::AtMost(15.0 * 1024.0 * 1024.0)),
    ("binary_bytes_worker", Goal::AtMost(15.0 * 1024.0 * 1024.0)),
];

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// All figures, with their goals.
pub(crate) fn table(results: &Results) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["figure", "median", "min", "max", "goal", ""]);
    for (name, figure) in &results.figures {
        let goal = GOALS.iter().find(|(with_goal, _)| with_goal == name).map(|(_, goal)| *goal);
        let (wanted, verdict) = match goal {
            Some(goal @ Goal::AtLeast(least)) => (format!("≥ {}", text(figure.unit, least)), verdict(goal, figure)),
            Some(goal @ Goal::AtMost(most)) => (format!("≤ {}", text(figure.unit, most)), verdict(goal, figure)),
            None => Default::default(),
        };
        let [median, min, max] = [figure.median, figure.min, figure.max].map(|value| text(figure.unit, value));
        table.add_row([name.clone(), median, min, max, wanted, verdict]);
    }
    table
}

fn verdict(goal: Goal, figure: &Figure) -> String {
    if goal.is_met(figure.median) { "met".to_owned() } else { "MISSED".to_owned() }
}

fn text(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Ratio => format!("{value:.3}"),
        Unit::PerSecond => format!("{value:.0}/s"),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Megabytes => format!("{value:.1} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Series;

    #[test]
    fn a_goal_is_met_or_missed_by_the_median() {
        let mut results = Results::default();
        let mut series = Series::default();
        [0.1, 0.9, 0.8].into_iter().for_each(|value| series.push(value));
        results.put("ingest_ratio", Unit::Ratio, &series);
        results.put("growth", Unit::Ratio, &series);
        assert!(table(&results).to_string().contains("MISSED"));
        series.push(0.99);
        series.push(0.98);
        results.put("ingest_ratio", Unit::Ratio, &series);
        results.put("growth", Unit::Ratio, &series);
        assert!(!table(&results).to_string().contains("MISSED"));
    }
}
