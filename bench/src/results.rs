//! `latest.json`: every figure with its median, least and most, beside the machine that it was measured on.
//!
//! A run of one figure changes that one and keeps the others, so the file can hold figures of several runs: `measured`
//! says when each was taken.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capacity::Costs;
use crate::machine::Machine;
use crate::settings::Settings;
use crate::statistics::Series;

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Ratio,
    PerSecond,
    Milliseconds,
    Seconds,
    Bytes,
    Megabytes,
}

/// One figure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) unit: Unit,
}

/// All that was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) figures: BTreeMap<String, Figure>,
    /// What one webhook costs, by resource: see `capacity.rs`.
    #[serde(default)]
    pub(crate) costs: BTreeMap<String, f64>,
    /// Points of the plots: by plot and line.
    #[serde(default)]
    pub(crate) curves: BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>>,
    /// When each figure was taken, and in how many rounds.
    #[serde(default)]
    pub(crate) measured: BTreeMap<String, Measured>,
    #[serde(default)]
    pub(crate) machine: Option<Machine>,
}

/// When and how a figure was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    at: String,
    rounds: usize,
}

impl Results {
    /// What an earlier run has left, or nothing.
    ///
    /// # Errors
    /// When the file is not of this form.
    pub(crate) fn load(settings: &Settings) -> anyhow::Result<Self> {
        match std::fs::read(path(settings)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a figure in the place of an earlier one. A series without a round changes nothing.
    pub(crate) fn put(&mut self, name: &str, unit: Unit, series: &Series) {
        let Some(summary) = series.summary() else { return };
        let figure = Figure { median: summary.median, min: summary.min, max: summary.max, unit };
        self.figures.insert(name.to_owned(), figure);
        let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        self.measured.insert(name.to_owned(), Measured { at, rounds: series.len() });
    }

    /// A figure's median, if it was measured.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.figures.get(name).map(|figure| figure.median)
    }

    /// Puts what one webhook costs of a resource.
    pub(crate) fn cost(&mut self, name: &str, series: &Series) {
        if let Some(summary) = series.summary() {
            self.costs.insert(name.to_owned(), summary.median);
        }
    }

    /// Puts a line of a plot.
    pub(crate) fn curve(&mut self, plot: &str, line: &str, points: Vec<(f64, f64)>) {
        self.curves.entry(plot.to_owned()).or_default().insert(line.to_owned(), points);
    }

    /// Writes the file, and `costs.toml` beside it, when all costs are known.
    ///
    /// # Errors
    /// When one can't be written.
    pub(crate) fn save(&self, settings: &Settings) -> anyhow::Result<()> {
        std::fs::create_dir_all(&settings.results)?;
        let carried = [("queue_per_second", "publisher_rate"), ("worker_per_second", "worker_rate")];
        let carried = carried.into_iter().filter_map(|(cost, figure)| Some((cost.to_owned(), self.median(figure)?)));
        let costs: BTreeMap<String, f64> = self.costs.clone().into_iter().chain(carried).collect();
        let text = toml::to_string(&costs)?;
        if toml::from_str::<Costs>(&text).is_ok() {
            std::fs::write(settings.results.join("costs.toml"), text)?;
        }
        Ok(std::fs::write(path(settings), serde_json::to_vec_pretty(self)?)?)
    }
}

fn path(settings: &Settings) -> PathBuf {
    settings.results.join("latest.json")
}

/// Bytes as megabytes (of 1,048,576).
#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
