//! What was answered 2xx and cannot be found yet: "nothing found" does not mean "never came" while something waits.
//!
//! Counted by queue, never looked into: reading a message would raise its delivery count. What a worker has in hand is
//! counted by nobody; it is settled within seconds.

use std::time::Duration;

use serde::Serialize;
use shared::amqp::{QueueDepth, Topology};
use shared::config::Config;
use utoipa::ToSchema;

use crate::connect;
use crate::server::monitor::Known;
use crate::server::monitor::services::Service;
use crate::settings::Settings;
use crate::spool_gauges;

/// How long the broker may take to answer a command that has an answer without it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Webhooks that were answered 2xx and are on their way. `null` is what is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StillWaiting {
    /// In the queues that workers take from: found when a worker has taken them.
    pub(crate) queued: Option<u64>,
    /// On the retry ladder: found by id and key.
    pub(crate) retrying: Option<u64>,
    /// Files in the spools of ingest, each with up to some dozens of webhooks: found when they are published and taken.
    pub(crate) spool_files: Option<u64>,
}

impl StillWaiting {
    /// As the console's last look found it.
    pub(crate) fn seen(known: &Known, config: &Config) -> Self {
        let depths = known.queues.as_ref().and_then(|queues| queues.as_ref().ok());
        let spools = known.services.iter().filter(|one| one.service == Service::Ingest);
        let spools: Option<Vec<f64>> = spools.map(|one| one.sum("webhook_spool_files")).collect();
        let files = spools.filter(|spools| !spools.is_empty()).map(|files| files.iter().sum::<f64>() as u64);
        Self::of(depths.map(Vec::as_slice), files, config)
    }

    /// As the broker and each ingest that are named say now.
    pub(crate) async fn ask(settings: &Settings, config: &Config) -> Self {
        let depths = tokio::time::timeout(TIMEOUT, depths(settings, config)).await;
        let depths = depths.ok().and_then(Result::ok);
        let spools = spool_gauges::ask(settings).await.ok().flatten().unwrap_or_default();
        let files: Option<Vec<u64>> = spools.iter().map(|spool| spool.files).collect();
        let files = files.filter(|files| !files.is_empty()).map(|files| files.iter().sum());
        Self::of(depths.as_deref(), files, config)
    }

    fn of(depths: Option<&[QueueDepth]>, spool_files: Option<u64>, config: &Config) -> Self {
        let topology = Topology::new(&config.queue);
        let ladder: Vec<String> = config.queue.retry_delays().into_iter().map(|delay| topology.retry(delay)).collect();
        let sum = |is_retry: bool| {
            let queues = depths?.iter().filter(|depth| ladder.contains(&depth.queue) == is_retry);
            Some(queues.filter_map(|depth| depth.ready).map(u64::from).sum())
        };
        Self { queued: sum(false), retrying: sum(true), spool_files }
    }

    /// In a sentence.
    pub(crate) fn sentence(self) -> String {
        let many = |count: Option<u64>| count.map_or_else(|| "an unknown number".to_owned(), |count| count.to_string());
        let Self { queued, retrying, spool_files } = self;
        if self == (Self { queued: Some(0), retrying: Some(0), spool_files: Some(0) }) {
            return "Nothing is still on its way.".to_owned();
        }
        format!(
            "Still on their way: {} in the queue and {} in the spool, which are found when a worker has taken them; {} on the \
             retry ladder.",
            many(queued),
            match spool_files {
                Some(1) => "1 file".to_owned(),
                Some(files) => format!("{files} files"),
                None => "an unknown number of files".to_owned(),
            },
            many(retrying),
        )
    }
}

async fn depths(settings: &Settings, config: &Config) -> anyhow::Result<Vec<QueueDepth>> {
    let connection = connect::broker(settings, config.queue.heartbeat_s)?.connect("webhooks").await?;
    let depths = Topology::new(&config.queue).depths(&connection).await?;
    connection.close(200, "asked".into()).await?;
    Ok(depths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said_to_be_nothing() {
        let nothing = StillWaiting { queued: Some(0), retrying: Some(0), spool_files: Some(0) };
        assert_eq!(nothing.sentence(), "Nothing is still on its way.");
        let unknown = StillWaiting { spool_files: None, retrying: Some(2), ..nothing };
        assert!(unknown.sentence().contains("0 in the queue and an unknown number of files in the spool"));
    }
}
