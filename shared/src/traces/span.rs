//! One span, begun where its work begins and ended when it is dropped.
//!
//! Spans of one webhook know each other by `traceparent`, the text that travels with it, within a program as between two:
//! [`Span::begin`] takes the parent's, [`Span::traceparent`] gives the own.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{
    FutureExt as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};

use super::{TRACER, names};
use crate::trace_context::is_well_formed;

/// A span that has begun. Dropped, it ends.
#[derive(Debug)]
pub struct Span(Context);

impl Span {
    /// A span of the server that answers a request, below the `traceparent` of its sender; it began earlier.
    ///
    /// Like all of these, `None` when no spans are made. One that the sampler leaves out has a context of its own, too,
    /// which says so to whoever goes on with it.
    pub fn server(name: &'static str, parent: Option<&str>, since: impl FnOnce() -> SystemTime) -> Option<Self> {
        let named = || SpanBuilder { start_time: Some(since()), ..SpanBuilder::from_name(name) };
        Self::begin(SpanKind::Server, named, parent)
    }

    /// A span of putting a message on a queue.
    pub fn producer(queue: &str, parent: Option<&str>) -> Option<Self> {
        let span = Self::begin(SpanKind::Producer, || SpanBuilder::from_name(format!("publish {queue}")), parent)?;
        Some(span.of_queue(queue, "publish", "send"))
    }

    /// A span of processing a message of a queue.
    pub fn consumer(queue: &str, parent: Option<&str>) -> Option<Self> {
        let span = Self::begin(SpanKind::Consumer, || SpanBuilder::from_name(format!("process {queue}")), parent)?;
        Some(span.of_queue(queue, "process", "process"))
    }

    fn of_queue(self, queue: &str, operation: &'static str, kind: &'static str) -> Self {
        self.set(names::MESSAGING_SYSTEM, names::RABBITMQ);
        self.set(names::MESSAGING_DESTINATION_NAME, queue.to_owned());
        self.set(names::MESSAGING_OPERATION_NAME, operation);
        self.set(names::MESSAGING_OPERATION_TYPE, kind);
        self
    }

    /// A span of asking somebody else to do something.
    pub fn client(what: impl FnOnce() -> String, parent: Option<&str>) -> Option<Self> {
        Self::begin(SpanKind::Client, || SpanBuilder::from_name(what()), parent)
    }

    fn begin(kind: SpanKind, named: impl FnOnce() -> SpanBuilder, parent: Option<&str>) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = parent.and_then(parse).map(|parent| Context::new().with_remote_span_context(parent));
        let span = tracer.build_with_context(named().with_kind(kind), &parent.unwrap_or_default());
        Some(Self(Context::new().with_span(span)))
    }

    /// The W3C context of what it brings about.
    #[must_use]
    pub fn traceparent(&self) -> String {
        text(self.0.span().span_context())
    }

    /// Whether it is recorded: of one that is not, nothing needs to be said.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.span().is_recording()
    }

    /// Says something of it.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        let span = self.0.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed: a word of a closed set, and what happened.
    pub fn fail(&self, error_type: &'static str, error: impl Into<Cow<'static, str>>) {
        let span = self.0.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(names::ERROR_TYPE, error_type));
            span.set_status(Status::error(error));
        }
    }

    /// Does something of which it is the current span, for [`traceparent_of_current`] and [`set_on_current`].
    pub async fn during<T>(&self, doing: impl Future<Output = T>) -> T {
        doing.with_context(self.0.clone()).await
    }
}

/// The W3C context of the span that is current here, if there is one.
#[must_use]
pub fn traceparent_of_current() -> Option<String> {
    if !super::is_on() {
        return None;
    }
    Context::map_current(|context| {
        let span = context.span();
        span.span_context().is_valid().then(|| text(span.span_context()))
    })
}

/// Says something of the span that is current here, if there is one.
pub fn set_on_current(name: &'static str, value: impl Into<Value>) {
    if super::is_on() {
        Context::map_current(|context| context.span().set_attribute(KeyValue::new(name, value)));
    }
}

/// Says of the span that is current here, if there is one, whose service is called.
pub fn calls(address: &str, port: u16) {
    if super::is_on() {
        set_on_current(names::SERVER_ADDRESS, address.to_owned());
        set_on_current(names::SERVER_PORT, i64::from(port));
    }
}

/// As text: <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn text(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1).take_while(|_| is_well_formed(traceparent));
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    // Of the flags, only "sampled" is known here.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_being_a_text() {
        for given in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        ] {
            assert_eq!(text(&parse(given).unwrap()), given);
        }
        for none in ["", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn without_traces_there_is_nothing() {
        assert!(Span::producer("webhooks", None).is_none());
        assert_eq!(traceparent_of_current(), None);
        set_on_current("outcome", "nothing");
    }
}
