//! How spans leave: through a bounded queue, in batches, from a thread of their own.
//!
//! The SDK's batch processor does that, and drops what its queue has no room for without a word; so the queue is counted
//! here, and what is dropped, exported and failed is told by metrics. The exporter's HTTP client is a blocking one that is
//! made, used and dropped outside of the runtime's threads: one that needs a runtime panics in the processor's thread.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::settings::Settings;

/// One for the process, as the queue is.
static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

#[derive(Debug, Default)]
struct Metrics {
    queued: Gauge,
    queue_limit: Gauge,
    spans: Family<Ended, Counter>,
}

/// Registers what is counted of spans; without any, all of it is 0.
pub fn register(registry: &mut Registry) {
    let Metrics { queued, queue_limit, spans } = &*METRICS;
    for outcome in ["exported", "failed", "dropped"] {
        drop(spans.get_or_create(&Ended { outcome }));
    }
    registry.register("oncehook_spans_queued", "Spans waiting to be exported", queued.clone());
    let limit = "Beyond this many, spans are dropped (OTEL_BSP_MAX_QUEUE_SIZE); 0 when none are made";
    registry.register("oncehook_spans_queued_limit", limit, queue_limit.clone());
    let ended = "Spans exported, failed to be exported, or dropped as the queue was full";
    registry.register("oncehook_spans", ended, spans.clone());
}

fn ended(outcome: &'static str, spans: usize) {
    METRICS.spans.get_or_create(&Ended { outcome }).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
}

/// Makes what makes spans, and starts its thread.
pub(super) fn provider(settings: &Settings, service: &'static str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_endpoint(settings.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(settings.timeout)
        .build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(settings.queue)
        .with_max_export_batch_size(settings.batch)
        .with_scheduled_delay(settings.delay)
        .build();
    let limit = i64::try_from(settings.queue).unwrap_or(i64::MAX);
    METRICS.queue_limit.set(limit);
    let exporter = Counted { exporter, failing: AtomicBool::new(false) };
    let bounded =
        Bounded { batches: BatchSpanProcessor::new(exporter, batches), limit, dropped: AtomicBool::new(false) };
    Ok(SdkTracerProvider::builder()
        .with_span_processor(bounded)
        .with_sampler(settings.sampler.clone())
        .with_resource(resource(settings, service))
        .build())
}

/// Who makes the spans: what the environment says goes before what the program says of itself.
fn resource(settings: &Settings, service: &'static str) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match settings.service.clone() {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// Hands spans to the batches while the queue has room.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    limit: i64,
    /// Whether that was said; the metric says how often.
    dropped: AtomicBool,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // Counted down when a batch is taken off the queue, so the count is never below what is on it.
        if METRICS.queued.inc() < self.limit {
            return self.batches.on_end(span);
        }
        METRICS.queued.dec();
        ended("dropped", 1);
        if !self.dropped.swap(true, Ordering::Relaxed) {
            let limit = self.limit;
            tracing::warn!(limit, "more spans end than are exported; some are dropped and counted, webhooks are not");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Exports, and tells what came of it.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    /// Whether the last export failed: said once.
    failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        METRICS.queued.dec_by(i64::try_from(spans).unwrap_or(i64::MAX));
        let exported = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(exported.is_err(), Ordering::Relaxed);
        match &exported {
            Ok(()) => {
                ended("exported", spans);
                if failed_before {
                    tracing::info!("spans are exported again");
                }
            }
            Err(error) => {
                ended("failed", spans);
                if !failed_before {
                    tracing::warn!(%error, "spans cannot be exported and are lost; webhooks are not");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
