//! How many machines a rate needs: a small model, computed from what one webhook was measured to cost.
//!
//! Pure. It knows processor time, the write-ahead log, the disk, and what one queue and one worker carry; it adds them
//! up and rounds to whole units, each loaded to a share that leaves room for bursts. `docs/scaling.md` reads it.
//!
//! Not promised: that cores of another machine are as fast as those that were measured, or that a cluster's replicas cost
//! what a single node's do. It is for planning, and a load test of the real thing comes after it.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use comfy_table::{Table, presets};
use serde::Deserialize;

/// The measured costs that come with the program.
const MEASURED: &str = include_str!("../costs.toml");
/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Days that bodies are kept by default.
const RETENTION_DAYS: f64 = 30.0;

/// What the model is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Question {
    /// Webhooks a second at the busiest time.
    #[arg(long, env = "RATE")]
    pub(crate) rate: f64,
    /// Cores of one machine.
    #[arg(long, env = "CORES", default_value_t = 8.0)]
    pub(crate) cores: f64,
    /// The share of a unit that the busiest time may take.
    #[arg(long, env = "SHARE", default_value_t = 0.6)]
    pub(crate) share: f64,
    /// Replicas of each quorum queue.
    #[arg(long, env = "REPLICAS", default_value_t = 3.0)]
    pub(crate) replicas: f64,
    /// Bytes a second of write-ahead log that one Postgres can keep up with, its standby included.
    #[arg(long, env = "WAL_BYTES", default_value_t = 200_000_000.0)]
    pub(crate) wal_bytes: f64,
}

/// What one webhook costs, and what one unit carries: the names are those of `costs` in `latest.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Costs {
    pub(crate) ingest_cpu_seconds: f64,
    pub(crate) worker_cpu_seconds: f64,
    pub(crate) rabbitmq_publish_cpu_seconds: f64,
    pub(crate) rabbitmq_deliver_cpu_seconds: f64,
    pub(crate) postgres_cpu_seconds: f64,
    pub(crate) wal_bytes: f64,
    pub(crate) disk_bytes: f64,
    pub(crate) rows: f64,
    pub(crate) ingest_network_bytes: f64,
    pub(crate) worker_network_bytes: f64,
    /// Confirmed publishes a second to one quorum queue.
    pub(crate) queue_per_second: f64,
    /// Webhooks a second that one worker processes.
    pub(crate) worker_per_second: f64,
}

/// Something that there may be several of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Webhooks a second that one of them carries, at the share.
    pub(crate) carries: f64,
    /// How many are needed.
    pub(crate) needed: f64,
}

/// What a rate needs.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// In the order of a webhook's walk.
    pub(crate) parts: Vec<Part>,
    /// Bytes a second over all networks.
    network: f64,
    /// Bytes a second of write-ahead log.
    wal: f64,
    /// Bytes of tables and indexes that a day adds, were every second the busiest.
    disk_a_day: f64,
    /// Rows that it adds.
    rows_a_day: f64,
}

impl Costs {
    /// Those that come with the program, or of a file.
    ///
    /// # Errors
    /// When the file can't be read or lacks a cost.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match file {
            Some(file) => std::fs::read_to_string(file).with_context(|| file.display().to_string())?,
            None => MEASURED.to_owned(),
        };
        Ok(toml::from_str(&text)?)
    }

    /// What a rate needs.
    pub(crate) fn answer(&self, question: &Question) -> Answer {
        let Question { rate, cores, share, replicas, wal_bytes } = *question;
        let machine = cores * share;
        // Every replica writes every message; that a follower does less than a leader is not counted on.
        let broker = (self.rabbitmq_publish_cpu_seconds + self.rabbitmq_deliver_cpu_seconds) * replicas;
        let postgres = (machine / self.postgres_cpu_seconds).min(wal_bytes * share / self.wal_bytes);
        let parts = [
            ("ingest machines", machine / self.ingest_cpu_seconds, 1.0),
            ("queues", self.queue_per_second * share, 1.0),
            ("RabbitMQ nodes", machine / broker, replicas),
            ("workers", self.worker_per_second * share, 1.0),
            ("worker machines", machine / self.worker_cpu_seconds, 1.0),
            ("Postgres primaries", postgres, 1.0),
        ];
        let part = |(name, carries, least): (&'static str, f64, f64)| {
            // What fits exactly, fits, however it was rounded on the way.
            let needed = (rate / carries - 1e-9).ceil().max(least);
            Part { name, carries, needed }
        };
        Answer {
            parts: parts.into_iter().map(part).collect(),
            network: rate * (self.ingest_network_bytes + self.worker_network_bytes),
            wal: rate * self.wal_bytes,
            disk_a_day: rate * self.disk_bytes * DAY,
            rows_a_day: rate * self.rows * DAY,
        }
    }
}

impl Answer {
    /// What is exhausted first when there is one of each: the part that carries least.
    pub(crate) fn breaks_first(&self) -> Option<&Part> {
        self.parts.iter().min_by(|one, other| one.carries.total_cmp(&other.carries))
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["", "needed", "one carries"]);
        for part in &self.parts {
            table.add_row([part.name.to_owned(), format!("{:.0}", part.needed), format!("{:.0}/s", part.carries)]);
        }
        let first = self.breaks_first().map_or("", |part| part.name);
        format!(
            "{table}\n\nof one each, the first to be exhausted: {first}\n\
             network {:.1} MB/s, write-ahead log {:.1} MB/s\n\
             a day at this rate: {:.0} million rows, {:.2} TB of tables and indexes, {:.1} TB in {RETENTION_DAYS} days\n",
            self.network / 1e6,
            self.wal / 1e6,
            self.rows_a_day / 1e6,
            self.disk_a_day / 1e12,
            self.disk_a_day * RETENTION_DAYS / 1e12,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        ingest_cpu_seconds: 0.000_1,
        worker_cpu_seconds: 0.000_2,
        rabbitmq_publish_cpu_seconds: 0.000_05,
        rabbitmq_deliver_cpu_seconds: 0.000_05,
        postgres_cpu_seconds: 0.000_1,
        wal_bytes: 5_000.0,
        disk_bytes: 4_000.0,
        rows: 6.0,
        ingest_network_bytes: 5_000.0,
        worker_network_bytes: 5_000.0,
        queue_per_second: 20_000.0,
        worker_per_second: 8_000.0,
    };

    fn needed(rate: f64) -> Vec<f64> {
        let question = Question { rate, cores: 10.0, share: 0.5, replicas: 3.0, wal_bytes: 200e6 };
        COSTS.answer(&question).parts.into_iter().map(|part| part.needed).collect()
    }

    #[test]
    fn units_are_whole_and_a_cluster_has_a_majority() {
        assert_eq!(needed(1.0), [1.0, 1.0, 3.0, 1.0, 1.0, 1.0]);
        // ingest 50,000/s, a queue 10,000/s, a node 16,667/s, a worker 4,000/s, a worker machine 25,000/s, Postgres
        // 20,000/s (by its log; its cores would carry 50,000).
        assert_eq!(needed(100_000.0), [2.0, 10.0, 6.0, 25.0, 4.0, 5.0]);
    }

    #[test]
    fn more_webhooks_never_need_less() {
        let rates = (0..6).map(|power| 10_f64.powi(power));
        let needs: Vec<_> = rates.map(needed).collect();
        assert!(needs.windows(2).all(|pair| pair[0].iter().zip(&pair[1]).all(|(less, more)| less <= more)));
    }

    #[test]
    fn the_costs_that_come_with_the_program_can_be_read_and_are_not_nothing() {
        let costs = Costs::load(None).unwrap();
        let question = Question { rate: 1000.0, cores: 8.0, share: 0.6, replicas: 3.0, wal_bytes: 200e6 };
        let answer = costs.answer(&question);
        assert!(answer.parts.iter().all(|part| part.carries.is_finite() && part.carries > 0.0));
        assert!(answer.text().contains(answer.breaks_first().unwrap().name));
    }
}
