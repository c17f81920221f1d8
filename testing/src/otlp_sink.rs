//! A collector of one's own: takes spans by OTLP over HTTP and remembers them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::http_sink::read_request;

/// A span as it arrived, ids in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSpan {
    /// The `service.name` of who made it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// Which side of which exchange it is.
    pub kind: SpanKind,
    /// Its trace.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// Its parent's; empty if it has none.
    pub parent_id: String,
    /// What is said of it, as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub failed: bool,
    /// From when to when, in nanoseconds of Unix time.
    pub time: (u64, u64),
}

impl SeenSpan {
    /// An attribute; empty if it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Its W3C context, if it is recorded.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }
}

/// The running sink.
#[derive(Clone)]
pub struct OtlpSink {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<SeenSpan>>>,
}

impl OtlpSink {
    /// Starts one on a free port; it ends with the runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), spans: Arc::default() };
        let serving = sink.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let sink = serving.clone();
                tokio::spawn(async move { sink.serve(connection).await });
            }
        });
        sink
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span of a trace so far, by when it began.
    #[must_use]
    pub fn spans(&self, trace_id: &str) -> Vec<SeenSpan> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans: Vec<_> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        spans.sort_by_key(|span| span.time);
        spans
    }

    async fn serve(&self, mut connection: TcpStream) {
        let (from, mut to) = connection.split();
        let mut from = BufReader::new(from);
        while let Some(request) = read_request(&mut from).await {
            assert_eq!(request.path, "/v1/traces");
            assert_eq!(request.headers["content-type"], "application/x-protobuf");
            let export = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("spans in protobuf");
            let seen = export.resource_spans.into_iter().flat_map(seen);
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
            // An empty message is an empty body.
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if to.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn seen(resource: ResourceSpans) -> impl Iterator<Item = SeenSpan> {
    let of_resource = attributes(&resource.resource.unwrap_or_default().attributes);
    let service = of_resource.get("service.name").cloned().unwrap_or_default();
    let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| one(service.clone(), &span))
}

fn one(service: String, span: &Span) -> SeenSpan {
    SeenSpan {
        service,
        name: span.name.clone(),
        kind: span.kind(),
        trace_id: hex::encode(&span.trace_id),
        span_id: hex::encode(&span.span_id),
        parent_id: hex::encode(&span.parent_span_id),
        attributes: attributes(&span.attributes),
        failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
