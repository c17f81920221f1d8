//! `effects_ratio`: rows of the outbox that one worker sends a second, beside lettre and reqwest at the same concurrency.
//!
//! Mails and calls are sent one kind after the other, as many of each; the headline is all of them over all of the time.

use std::time::Duration;

use shared::config::DispatchConfig;
use shared::plan::{CallBody, Letter};

use crate::process::WorkerSpec;
use crate::results::Unit;
use crate::run::{Run, say};
use crate::senders::Sends;
use crate::sinks::Sinks;
use crate::statistics::Series;

/// How long the outbox may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The text of a mail: as long as the default template's.
const TEXT: &str = "Hello Zoë,\n\nthank you for your order #17950000000001:\n\n   1 x Linen shirt, long sleeves\n   \
                    2 x Linen shirt, long sleeves\n   3 x Linen shirt, long sleeves\n\nTotal: 149.70 EUR\n";
const SUBJECT: &str = "Your order #17950000000001";
const CALL: &str =
    r##"{"order":"#17950000000001","lines":[{"sku":"WARE-0001","quantity":1},{"sku":"WARE-0002","quantity":2}]}"##;

/// An effect that calls a service, as the manual shows it.
const COMMENTED: &str =
    "# [effects.http.tell-warehouse]\n# url = \"https://warehouse.example.com/hooks/orders\"\n# map";

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mails,
    Calls,
}

pub(super) async fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (sinks, mut all) = (Sinks::start()?, Series::default());
    let mut each = [Kind::Mails, Kind::Calls].map(|kind| (kind, Series::default(), Series::default()));
    let count = as_f64(run.settings.sent());
    for round in 1..=run.settings.rounds() {
        let (mut ours, mut bare) = (0.0, 0.0);
        for (kind, rates, limits) in &mut each {
            let (worker, limit) = (kind.dispatch(run, sinks).await?, kind.send_bare(run, sinks).await?);
            ours += count / worker;
            bare += count / limit;
            rates.push(worker);
            limits.push(limit);
            say(&format!("  round {round}, {kind:?}: worker {worker:.0}/s, bare {limit:.0}/s"));
        }
        all.push(bare / ours);
        say(&format!("  round {round}: ratio {:.3}", bare / ours));
    }
    run.results.put("effects_ratio", Unit::Ratio, &all);
    for (kind, rates, limits) in &each {
        let (rate, limit) = kind.names();
        run.results.put(rate, Unit::PerSecond, rates);
        run.results.put(limit, Unit::PerSecond, limits);
    }
    Ok(())
}

impl Kind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Mails => ("effects_mail_rate", "lettre_rate"),
            Self::Calls => ("effects_call_rate", "reqwest_rate"),
        }
    }

    /// What the outbox calls it, who sends it, and what is sent.
    fn row(self) -> (&'static str, &'static str, String) {
        let letter =
            || Letter { to: "buyer@customers.example".to_owned(), subject: SUBJECT.to_owned(), text: TEXT.to_owned() };
        match self {
            Self::Mails => ("email", "order-confirmation", letter().to_json()),
            Self::Calls => ("http", "tell-warehouse", CallBody { json: CALL.to_owned() }.to_json()),
        }
    }

    /// Rows a second that a worker sends and settles.
    async fn dispatch(self, run: &Run<'_>, sinks: Sinks) -> anyhow::Result<f64> {
        let (kind, effect, intent) = self.row();
        run.queues.renew().await?;
        run.database.clear().await?;
        run.database.plan_effects(run.settings.sent(), [kind, effect, &intent]).await?;
        let calling =
            format!("[effects.http.tell-warehouse]\nallow_private = true\nurl = \"http://{}/hooks\"\nmap", sinks.http);
        let changes = [(COMMENTED, calling.as_str())];
        let spec = WorkerSpec { database_url: &run.database.url, changes: &changes, mail_server: Some(sinks.smtp) };
        let worker = run.programs.worker(spec).await?;
        run.database.has_sent(run.settings.sent(), PATIENCE).await?;
        let rate = run.database.sending_rate().await?;
        worker.stop().await?;
        Ok(rate)
    }

    /// Sends a second without a worker.
    async fn send_bare(self, run: &Run<'_>, sinks: Sinks) -> anyhow::Result<f64> {
        let sends = Sends { count: run.settings.sent(), concurrency: DispatchConfig::default().concurrency };
        let took = match self {
            Self::Mails => sends.mails(sinks.smtp, SUBJECT, TEXT).await?,
            Self::Calls => sends.calls(sinks.http, CALL).await?,
        };
        Ok(as_f64(sends.count) / took.as_secs_f64())
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of sends are small")]
fn as_f64(number: usize) -> f64 {
    number as f64
}
