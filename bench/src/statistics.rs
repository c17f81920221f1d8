//! What is made of repeated measurements: median, least and most.

/// One number, measured once a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

/// What a series says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Series {
    /// What is measured once.
    pub(crate) fn of(value: f64) -> Self {
        Self(vec![value])
    }

    /// Adds a round.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Rounds so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Median, least and most; `None` without a round.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (lower, upper) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Summary { median: f64::midpoint(*lower, *upper), min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        let summary = |values: &[f64]| Series(values.to_vec()).summary();
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[3.0, 1.0, 9.0]), Some(Summary { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(summary(&[4.0, 2.0]), Some(Summary { median: 3.0, min: 2.0, max: 4.0 }));
    }
}
