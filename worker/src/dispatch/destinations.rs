//! What a worker knows of where its effects go: a breaker for each, and whether the mail server answers.
//!
//! Told as metrics when they are asked for, so that they are never older than what is known. Only what is configured here
//! is told; of other effects that rows still wait for, the breaker works all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use shared::config::{Config, DispatchConfig, OPERATOR_ALERT};
use shared::db::outbox::Lease;

use super::breaker::{Attempt, Breaker, BreakerRules, Lets, Word};

/// All destinations. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Destinations {
    rules: BreakerRules,
    known: Arc<Mutex<Known>>,
}

struct Known {
    breakers: BTreeMap<String, Breaker>,
    /// The configured effects, and whether they are mails.
    told: BTreeMap<String, bool>,
    /// What the mail server's last probe found; well, until there was one.
    mail_server_answers: bool,
}

impl Destinations {
    /// Of a configuration's effects; `sends_mail` says whether there is a mail server to send to.
    pub(crate) fn register(config: &Config, sends_mail: bool, registry: &mut Registry) -> Self {
        let mut told: BTreeMap<String, bool> =
            config.effects.http.keys().map(|name| (name.to_string(), false)).collect();
        if sends_mail {
            told.extend(config.effects.email.keys().map(|name| (name.to_string(), true)));
            told.insert(OPERATOR_ALERT.to_owned(), true);
        }
        let destinations = Self::new(&config.dispatch, told);
        registry.register_collector(Box::new(destinations.clone()));
        destinations
    }

    /// Nothing is known against any. `told` names those that are told, and whether they are mails.
    pub(crate) fn new(config: &DispatchConfig, told: BTreeMap<String, bool>) -> Self {
        let known = Known { breakers: BTreeMap::new(), told, mail_server_answers: true };
        Self { rules: BreakerRules::new(config), known: Arc::new(Mutex::new(known)) }
    }

    /// Effects of which one row may be begun, as a probe.
    pub(crate) fn to_probe(&self, now: Instant) -> Vec<String> {
        self.those(|breaker| breaker.lets(now) == Lets::One)
    }

    /// Effects of which no other row may be begun.
    pub(crate) fn shut(&self) -> Vec<String> {
        self.those(|breaker| breaker.degree() > 0)
    }

    fn those(&self, which: impl Fn(&Breaker) -> bool) -> Vec<String> {
        let known = self.known();
        known.breakers.iter().filter(|(_, breaker)| which(breaker)).map(|(effect, _)| effect.clone()).collect()
    }

    /// A row was leased as a probe.
    pub(crate) fn probe_begins(&self, lease: &Lease, now: Instant) {
        if let Some(breaker) = self.known().breakers.get_mut(&lease.effect) {
            breaker.probe_begins(Attempt::under(lease), now);
        }
    }

    /// No row of it is due; others wait for their time.
    pub(crate) fn finds_no_probe(&self, effect: &str, now: Instant) {
        if let Some(breaker) = self.known().breakers.get_mut(effect) {
            breaker.finds_no_probe(now);
        }
    }

    /// No row of it waits.
    pub(crate) fn finds_nothing_waiting(&self, effect: &str) {
        if let Some(breaker) = self.known().breakers.get_mut(effect) {
            breaker.finds_nothing_waiting();
            tracing::info!(effect, "nothing waits for the destination any more: the next row is sent at once");
        }
    }

    /// An attempt to send an effect has ended.
    pub(crate) fn hear(&self, lease: &Lease, word: Word, now: Instant) {
        let effect = &lease.effect;
        let (before, after) = {
            let mut known = self.known();
            let breaker = known.breakers.entry(effect.clone()).or_insert_with(|| Breaker::new(self.rules));
            let before = breaker.degree();
            breaker.hear(Attempt::under(lease), word, now);
            (before, breaker.degree())
        };
        match (before, after) {
            (0, 1..) => tracing::warn!(effect, "the destination is away: its rows wait, but for a probe now and then"),
            (1.., 0) => tracing::info!(effect, "the destination is back: its rows are sent"),
            _ => {}
        }
    }

    /// The mail server has been asked whether it is there; what it said if it is not.
    pub(crate) fn hear_of_mail_server(&self, answer: Result<(), String>) {
        let before = std::mem::replace(&mut self.known().mail_server_answers, answer.is_ok());
        match answer {
            Err(error) if before => tracing::warn!(error, "the mail server does not answer"),
            Ok(()) if !before => tracing::info!("the mail server answers again"),
            _ => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destinations").finish_non_exhaustive()
    }
}

impl Collector for Destinations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let known = self.known();
        let degree = |effect: &String| known.breakers.get(effect).map_or(0, Breaker::degree);
        let help = "An effect's breaker: 0 closed, 1 half-open (a probe is being sent), 2 open (its rows wait)";
        let mut breakers = encoder.encode_descriptor("webhook_effect_breaker", help, None, MetricType::Gauge)?;
        for effect in known.told.keys() {
            let labels = [("effect", effect.as_str())];
            ConstGauge::new(i64::from(degree(effect))).encode(breakers.encode_family(&labels)?)?;
        }
        let help =
            "Whether an effect's destination is there: its breaker is closed, and the mail server answers probes";
        let mut ups = encoder.encode_descriptor("webhook_destination_up", help, None, MetricType::Gauge)?;
        for (effect, is_mail) in &known.told {
            let up = degree(effect) == 0 && (!is_mail || known.mail_server_answers);
            ConstGauge::new(i64::from(up)).encode(ups.encode_family(&[("effect", effect.as_str())])?)?;
        }
        Ok(())
    }
}
