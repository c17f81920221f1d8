//! Traces: what becomes of one webhook in each program, as OpenTelemetry spans, sent to a collector by OTLP over HTTP.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` says where they go ([`settings`]); then [`Span::begin`] looks at one word of
//! memory and makes nothing. Spans are made by hand, where a webhook is observed anyway; `docs/traces.md` shows the tree.
//!
//! Invariant: nothing here fails or delays a webhook. A span that finds the queue full is dropped and counted
//! ([`export`]). Not promised: that every span arrives; what a collector does not take within [`STOP_TIMEOUT`] when a
//! program stops is lost.

mod export;
pub mod names;
mod settings;
mod span;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use self::export::register;
pub use self::settings::SettingError;
use self::settings::Settings;
pub use self::span::{Span, calls, set_on_current, traceparent_of_current};
use crate::environment::variable;

/// How long stopping may wait for the last spans to be taken.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What `--help` says of it.
pub const HELP: &str = "Traces: OTEL_EXPORTER_OTLP_ENDPOINT says where spans are sent by OTLP over HTTP, and OpenTelemetry's\nother standard variables how (docs/traces.md). Without it there are none.";

/// Where spans are made; not there: nowhere.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Why there can be no spans.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable is mistaken.
    #[error("the environment")]
    Setting(#[from] SettingError),
    /// The exporter can't be made of what the settings say.
    #[error("the OTLP exporter can't be made")]
    Exporter(#[from] ExporterBuildError),
    /// Spans are made already in this process.
    #[error("traces were started twice")]
    Twice,
}

/// The running export of spans, to be stopped at the end.
#[must_use = "what is not stopped loses its last spans"]
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

/// Starts to export this program's spans, if the environment says where to. `service` is its `service.name`, unless
/// `OTEL_SERVICE_NAME` says another.
///
/// # Errors
/// When a variable is mistaken.
pub fn start(service: &'static str) -> Result<Traces, TracesError> {
    let Some(settings) = Settings::read(variable)? else { return Ok(Traces(None)) };
    let provider = export::provider(&settings, service)?;
    TRACER.set(provider.tracer("oncehook")).map_err(|_set| TracesError::Twice)?;
    tracing::info!(endpoint = %settings.shown_endpoint(), sampler = ?settings.sampler, "spans are exported");
    Ok(Traces(Some(provider)))
}

impl Traces {
    /// Exports what is left, for [`STOP_TIMEOUT`] at most.
    pub async fn stop(self) {
        let Some(provider) = self.0 else { return };
        // It waits for the exporter's thread, which a thread of the runtime must not.
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(STOP_TIMEOUT));
        match stopping.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be exported"),
            Err(error) => tracing::warn!(%error, "the export of spans ended badly"),
        }
    }
}

/// Whether spans are made.
#[must_use]
pub fn is_on() -> bool {
    TRACER.get().is_some()
}
