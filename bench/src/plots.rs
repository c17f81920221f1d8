//! The curves as SVG: throughput over concurrency, latency distribution, drain rate over workers, cost over table size.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use crate::results::Results;

/// Width and height of a plot.
const SIZE: (u32, u32) = (720, 420);

/// A plot of some lines.
struct Plot {
    /// Its name among the curves, and its file's.
    name: &'static str,
    caption: &'static str,
    x: Axis,
    y: Axis,
}

/// One axis.
struct Axis {
    title: &'static str,
    scale: Scale,
}

/// How an axis counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

const PLOTS: [Plot; 4] = [
    Plot {
        name: "throughput",
        caption: "Webhooks answered per second",
        x: Axis { title: "connections", scale: Scale::Logarithmic },
        y: Axis { title: "per second", scale: Scale::Linear },
    },
    Plot {
        name: "latency",
        caption: "Answer time at half of the highest rate",
        x: Axis { title: "share of answers within that time", scale: Scale::Linear },
        y: Axis { title: "ms", scale: Scale::Logarithmic },
    },
    Plot {
        name: "scale",
        caption: "Webhooks processed per second from a backlog",
        x: Axis { title: "workers", scale: Scale::Linear },
        y: Axis { title: "per second", scale: Scale::Linear },
    },
    Plot {
        name: "growth",
        caption: "Time per webhook over rows in processed_webhooks",
        x: Axis { title: "rows", scale: Scale::Logarithmic },
        y: Axis { title: "µs", scale: Scale::Linear },
    },
];

/// Draws every plot whose curves were measured.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn draw(results: &Results, directory: &Path) -> anyhow::Result<()> {
    for plot in &PLOTS {
        let Some(lines) = results.curves.get(plot.name) else { continue };
        let lines: Vec<(&str, Vec<(f64, f64)>)> = lines
            .iter()
            .map(|(line, points)| (line.as_str(), points.iter().map(|point| plot.place(*point)).collect()))
            .collect();
        plot.draw(&lines, &directory.join(format!("{}.svg", plot.name)))?;
    }
    Ok(())
}

impl Plot {
    /// Where a point lies: on a logarithmic axis, at its logarithm.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.scale.place(x), self.y.scale.place(y))
    }

    fn draw(&self, lines: &[(&str, Vec<(f64, f64)>)], path: &Path) -> anyhow::Result<()> {
        let (xs, ys): (Vec<f64>, Vec<f64>) = lines.iter().flat_map(|(_, points)| points.iter().copied()).unzip();
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.caption, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(self.x.scale.range(&xs), self.y.scale.range(&ys))?;
        chart
            .configure_mesh()
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .x_label_formatter(&|x| self.x.scale.label(*x))
            .y_label_formatter(&|y| self.y.scale.label(*y))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, (line, points)) in lines.iter().enumerate() {
            let color = Palette99::pick(number).mix(1.0);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))?
                .label(*line)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
        Ok(root.present()?)
    }
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// From nothing, on a linear axis, to a little above the largest.
    fn range(self, values: &[f64]) -> Range<f64> {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self {
            Self::Linear => 0.0..(most * 1.1).max(f64::MIN_POSITIVE),
            Self::Logarithmic => least - 0.1..most + 0.1,
        }
    }

    fn label(self, place: f64) -> String {
        let value = if self == Self::Linear { place } else { 10_f64.powf(place) };
        match value {
            value if value >= 1_000_000.0 => format!("{:.0} million", value / 1_000_000.0),
            value if value >= 10.0 => format!("{value:.0}"),
            value => format!("{value:.1}"),
        }
    }
}
