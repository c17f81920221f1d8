//! What a single field cannot tell: bounds, references, expressions, and settings that contradict
//! each other.

use garde::Validate;

use super::mistakes::Mistakes;
use super::retention::LEAST_ON_ITS_WAY;
use super::{Config, IngestConfig, source_check};
use crate::plan::{Planner, known};
use crate::provider::{CatalogueError, Provider};

/// What a draining worker needs beside its last send.
const DRAIN_MARGIN_MS: u64 = 2_000;

/// Adds every mistake of meaning in a tree that is well-formed.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    bounds(config, mistakes);
    sources(config, mistakes);
    routes(config, mistakes);
    contradictions(config, mistakes);
    if let Err(found) = Planner::compile(config) {
        for mistake in found {
            mistakes.add(mistake.key, None, mistake.problem);
        }
    }
}

fn bounds(config: &Config, mistakes: &mut Mistakes) {
    if let Err(report) = config.validate() {
        for (path, error) in report.iter() {
            mistakes.add(path.to_string(), None, error.message().to_owned());
        }
    }
}

fn sources(config: &Config, mistakes: &mut Mistakes) {
    let providers = match config.catalogue() {
        Ok(providers) => providers,
        Err(CatalogueError(errors)) => {
            errors.iter().for_each(|error| mistakes.add("providers_dir", None, error.to_string()));
            return;
        }
    };
    for (name, source) in &config.sources {
        let key = format!("sources.{name}");
        let Some(provider) = providers.get(source.provider.as_str()) else {
            let problem = format!("there is no such provider; {}", known(providers.iter().map(Provider::name)));
            mistakes.add(format!("{key}.provider"), None, problem);
            continue;
        };
        source_check::credentials(&key, source, provider, mistakes);
        source_check::settings(&key, source, provider, mistakes);
        let least = provider.retry_horizon() + LEAST_ON_ITS_WAY;
        if least > config.retention.processed() {
            mistakes.add(
                "retention.processed_days",
                None,
                format!(
                    "source {name}: {} may send a webhook again for {} h, and it may be a day on its way, so keep ids \
                     for at least {} days",
                    provider.name(),
                    provider.retry_horizon().as_secs() / 3600,
                    least.as_secs().div_ceil(24 * 3600),
                ),
            );
        }
    }
}

fn routes(config: &Config, mistakes: &mut Mistakes) {
    for (name, route) in &config.routes {
        for (index, source) in route.sources.iter().enumerate() {
            if !config.sources.contains_key(source) {
                let problem = format!("there is no source {source}; {}", known(config.sources.keys()));
                mistakes.add(format!("routes.{name}.sources[{index}]"), None, problem);
            }
        }
    }
}

fn contradictions(config: &Config, mistakes: &mut Mistakes) {
    let ingest = &config.ingest;
    let head_ms = ingest.head_timeout_ms + IngestConfig::HEAD_SLACK_MS;
    let (before_ms, confirm_ms) = (head_ms + ingest.body_timeout_ms, ingest.publish_timeout_ms);
    let spool_ms = if config.spool.enabled { ingest.spool_timeout_ms } else { 0 };
    let answer_ms = before_ms + confirm_ms + spool_ms;
    if answer_ms >= IngestConfig::MAX_ANSWER_MS {
        mistakes.add(
            "ingest",
            None,
            format!(
                "head_timeout_ms (and {} ms) + body_timeout_ms + publish_timeout_ms + spool_timeout_ms is {answer_ms}; keep it under {}, or providers give up first",
                IngestConfig::HEAD_SLACK_MS,
                IngestConfig::MAX_ANSWER_MS
            ),
        );
    }
    let dispatch = &config.dispatch;
    if dispatch.deadline_ms * 2 > dispatch.lease_ms {
        mistakes.add("dispatch.deadline_ms", None, format!("at most half of lease_ms ({})", dispatch.lease_ms));
    }
    let drain_timeout_s = config.worker.drain_timeout_s;
    if drain_timeout_s * 1_000 < dispatch.deadline_ms + DRAIN_MARGIN_MS {
        let least_s = (dispatch.deadline_ms + DRAIN_MARGIN_MS).div_ceil(1_000);
        let problem = format!(
            "at least {least_s}: dispatch.deadline_ms is {}, and a send that is cut off is sent twice",
            dispatch.deadline_ms
        );
        mistakes.add("worker.drain_timeout_s", None, problem);
    }
    if dispatch.retry_min_ms > dispatch.retry_max_ms {
        mistakes.add("dispatch.retry_min_ms", None, format!("at most retry_max_ms ({})", dispatch.retry_max_ms));
    }
    if dispatch.breaker_min_ms > dispatch.breaker_max_ms {
        mistakes.add("dispatch.breaker_min_ms", None, format!("at most breaker_max_ms ({})", dispatch.breaker_max_ms));
    }
    if config.worker.transaction_timeout_ms <= u64::from(config.worker.statement_timeout_ms) {
        let problem = format!("more than statement_timeout_ms ({})", config.worker.statement_timeout_ms);
        mistakes.add("worker.transaction_timeout_ms", None, problem);
    }
    if usize::from(config.worker.prefetch) < config.worker.batch_size {
        mistakes.add(
            "worker.prefetch",
            None,
            format!("at least batch_size ({}), or no batch is ever full", config.worker.batch_size),
        );
    }
    let delays = &config.queue.retry_delays_s;
    if !delays.is_sorted_by(|a, b| a < b) {
        mistakes.add("queue.retry_delays_s", Some(format!("{delays:?}")), "each delay longer than the one before");
    }
}
