//! What the workers say of where effects go: each has a breaker of its own, and asks the mail server by itself.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::services::{Instance, Service};

/// A destination's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Breaker {
    /// Rows are sent as they come.
    Closed,
    /// A row is being sent as a probe.
    HalfOpen,
    /// The destination is away: rows wait, and keep their attempts.
    Open,
}

/// How a destination is reached, by all workers that say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The most open one of any worker.
    pub(crate) breaker: Breaker,
    /// Workers that say.
    pub(crate) workers: usize,
    /// Of these, workers that do not reach it.
    pub(crate) without: usize,
}

impl Breaker {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

impl Reach {
    /// What the workers say of an effect's destination; `None` when none does.
    pub(crate) fn of(services: &[Instance], effect: &str) -> Option<Self> {
        let ups = values(services, "webhook_destination_up", effect);
        let degree = values(services, "webhook_effect_breaker", effect).into_iter().fold(0.0, f64::max);
        let breaker = match degree {
            open if open >= 2.0 => Breaker::Open,
            half_open if half_open >= 1.0 => Breaker::HalfOpen,
            _ => Breaker::Closed,
        };
        let without = ups.iter().filter(|up| **up < 1.0).count();
        (!ups.is_empty()).then_some(Self { breaker, workers: ups.len(), without })
    }

    /// Whether any worker reaches it.
    pub(crate) fn is_up(self) -> bool {
        self.without < self.workers
    }
}

/// The effects that any worker speaks of.
pub(crate) fn effects(services: &[Instance]) -> BTreeSet<&str> {
    let samples = samples(services).filter(|sample| sample.name == "webhook_destination_up");
    samples.map(|sample| sample.label("effect")).collect()
}

fn values(services: &[Instance], name: &str, effect: &str) -> Vec<f64> {
    let samples = samples(services).filter(|sample| sample.name == name && sample.label("effect") == effect);
    samples.map(|sample| sample.value).collect()
}

fn samples(services: &[Instance]) -> impl Iterator<Item = &super::openmetrics::Sample> {
    let workers = services.iter().filter(|one| one.service == Service::Worker);
    workers.filter_map(|worker| worker.said.as_ref().ok()).flat_map(|said| &said.samples)
}
