//! What a fault needs to have been set up before its run begins.

use std::collections::VecDeque;

use crate::shop::Mix;

/// Each run starts from this; a fault changes what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    /// Webhooks sent per second.
    pub(crate) per_second: u32,
    pub(crate) mix: Mix,
    /// Settings of the default configuration, and what they become.
    pub(crate) settings: Vec<(&'static str, &'static str)>,
    /// `FAILPOINTS` of ingest's first start, of its second, …
    pub(crate) ingest_failpoints: VecDeque<String>,
    /// The same of each worker.
    pub(crate) worker_failpoints: Vec<VecDeque<String>>,
    /// `FAILPOINTS` of every start of every worker.
    pub(crate) worker_failpoints_always: Option<String>,
    /// The limit of a worker's address space.
    pub(crate) worker_memory_bytes: Option<u64>,
    /// The spool lies on a disk of this size.
    pub(crate) spool_disk_bytes: Option<u64>,
    /// The database lies on a disk of this size.
    pub(crate) database_disk_bytes: Option<u64>,
    /// Each process gets a clock of its own.
    pub(crate) false_clocks: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 2,
            per_second: 100,
            mix: Mix::default(),
            // Hours become seconds, so that a run sees the end of what it began.
            settings: vec![
                ("retry_delays_s = [5, 30, 120, 600, 3600]", "retry_delays_s = [1, 2, 4, 8, 16]"),
                ("renew_consumer_s = 60", "renew_consumer_s = 3"),
                ("lease_ms = 120000", "lease_ms = 8000"),
                ("deadline_ms = 30000", "deadline_ms = 3000"),
                ("retry_min_ms = 5000", "retry_min_ms = 500"),
                ("retry_max_ms = 3600000", "retry_max_ms = 5000"),
                ("breaker_min_ms = 5000", "breaker_min_ms = 500"),
                ("breaker_max_ms = 60000", "breaker_max_ms = 5000"),
            ],
            ingest_failpoints: VecDeque::new(),
            worker_failpoints: Vec::new(),
            worker_failpoints_always: None,
            worker_memory_bytes: None,
            spool_disk_bytes: None,
            database_disk_bytes: None,
            false_clocks: false,
        }
    }
}

impl Setup {
    /// The default configuration with this run's queue prefix and settings, and an effect that calls a URL.
    ///
    /// # Errors
    /// When the default configuration does not have a setting.
    pub(crate) fn configuration(&self, default: &str, run: &str, calls: &str) -> anyhow::Result<String> {
        let prefix = ("prefix = \"\"", format!("prefix = \"{run}.\""));
        let effects = (
            r#"effects = ["decrement-stock", "order-confirmation"]"#,
            r#"effects = ["decrement-stock", "order-confirmation", "tell-warehouse"]"#.to_owned(),
        );
        let calling = format!(
            "{default}\n[effects.http.tell-warehouse]\nurl = \"{calls}\"\nallow_private = true\n\
             map = '{{ key: .id, body: {{ order: .id }} }}'\n"
        );
        let settings = self.settings.iter().map(|(from, to)| (*from, (*to).to_owned()));
        settings.chain([prefix, effects]).try_fold(calling, |text, (from, to)| {
            anyhow::ensure!(text.contains(from), "the default configuration does not say {from:?}");
            Ok(text.replacen(from, &to, 1))
        })
    }
}
