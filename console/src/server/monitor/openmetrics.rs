//! Reads `OpenMetrics` text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), as far as our own services write it.

/// One sample of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    /// A label's value; empty when it is not there.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _value)| label == name).map_or("", |(_label, value)| value)
    }
}

/// All samples of a text; lines that cannot be read are left out.
pub(crate) fn read(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (name, labels, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = read_labels(rest)?;
            (name, labels, rest)
        }
        None => line.split_once(' ').map(|(name, rest)| (name, Vec::new(), rest))?,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels behind `{`, and what stands behind `}`.
fn read_labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# TYPE a counter\na_total{source=\"shop\",why=\"say \\\"no\\\", {2}\\n\"} 3 # {} 1\nb 2.5e3\nbad\nc{x=\"1} 4\n# EOF\n";
        let samples = read(text);
        assert_eq!(samples.len(), 2, "{samples:?}");
        assert_eq!((samples[0].name.as_str(), samples[0].value), ("a_total", 3.0));
        assert_eq!((samples[0].label("source"), samples[0].label("why")), ("shop", "say \"no\", {2}\n"));
        assert_eq!((samples[1].label("source"), samples[1].value), ("", 2_500.0));
    }

    #[test]
    fn what_our_registry_writes_is_read_back() {
        use prometheus_client::metrics::counter::Counter;
        use prometheus_client::registry::Registry;
        let mut registry = Registry::default();
        let (counter, histogram): (Counter, _) = (Counter::default(), shared::metrics::durations());
        counter.inc_by(7);
        histogram.observe(0.06);
        registry.register("webhook_requests", "help", counter);
        registry.register("took_seconds", "help", histogram);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let samples = read(&text);
        let value =
            |name: &str, le: &str| samples.iter().find(|s| s.name == name && s.label("le") == le).unwrap().value;
        assert!((value("webhook_requests_total", "") - 7.0).abs() < f64::EPSILON);
        assert!((value("took_seconds_bucket", "0.075") - 1.0).abs() < f64::EPSILON);
        assert!((value("took_seconds_bucket", "+Inf") - 1.0).abs() < f64::EPSILON);
    }
}
