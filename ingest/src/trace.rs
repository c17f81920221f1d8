//! One genuine webhook's trace (<https://www.w3.org/TR/trace-context/>): taken over from the request or begun here, so
//! that it can be followed through queue and worker.
//!
//! Where spans are made ([`shared::traces`]), one is of the request and one, its child, of making the webhook durable; the
//! message carries the second's context, also through the spool. Nothing is made of what is not genuine: strangers could
//! fill a collector, and whether a trace is recorded is for the sender to say, not for them.

use std::time::{Instant, SystemTime};

use shared::trace_context::{TraceId, begin, is_well_formed};
use shared::traces::{Span, names};
use shared::verification::Headers;

use crate::durable::{Kept, NotKept};
use crate::outcome::Outcome;

/// `POST` and the path's pattern, as OpenTelemetry names such a span.
const REQUEST: &str = "POST /webhooks/{source}";
const ROUTE: &str = "/webhooks/{source}";

/// The trace of a request.
pub(crate) struct Trace {
    id: Option<TraceId>,
    /// The context that the webhook goes on in; the message takes it.
    traceparent: Option<String>,
    request: Option<Span>,
}

/// The way from here to the queue, or into the spool.
pub(crate) struct Publishing(Option<Span>);

impl Trace {
    /// Goes on with the request's `traceparent` if it is well-formed, else with a new one.
    pub(crate) fn begin(headers: &Headers<'_>, began: Instant) -> Self {
        let given = headers.one("traceparent").ok().flatten().filter(|given| is_well_formed(given));
        let request = Span::server(REQUEST, given, || SystemTime::now() - began.elapsed());
        let traceparent = match &request {
            Some(request) => Some(request.traceparent()),
            None => given.map(str::to_owned).or_else(begin),
        };
        Self { id: traceparent.as_deref().and_then(TraceId::of), traceparent, request }
    }

    /// Its id.
    pub(crate) fn id(&self) -> Option<TraceId> {
        self.id
    }

    /// Begins to make the webhook durable. Returns the context for its message, too.
    pub(crate) fn publish(&mut self, queue: &str, id: &str, body_bytes: usize) -> (Publishing, Option<String>) {
        let traceparent = self.traceparent.take();
        let Some(span) = Span::producer(queue, traceparent.as_deref()) else { return (Publishing(None), traceparent) };
        if span.is_recorded() {
            span.set(names::MESSAGING_MESSAGE_ID, id.to_owned());
            span.set(names::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(body_bytes).unwrap_or(i64::MAX));
        }
        let traceparent = span.traceparent();
        (Publishing(Some(span)), Some(traceparent))
    }

    /// The request is answered, or its sender has hung up.
    pub(crate) fn ended(&self, source: &str, id: Option<&str>, topic: Option<&str>, outcome: Outcome) {
        let Some(span) = self.request.as_ref().filter(|span| span.is_recorded()) else { return };
        span.set(names::HTTP_REQUEST_METHOD, "POST");
        span.set(names::HTTP_ROUTE, ROUTE);
        span.set(names::URL_PATH, format!("/webhooks/{source}"));
        span.set(names::URL_SCHEME, "http");
        span.set(names::WEBHOOK_SOURCE, source.to_owned());
        id.into_iter().for_each(|id| span.set(names::WEBHOOK_ID, id.to_owned()));
        topic.into_iter().for_each(|topic| span.set(names::WEBHOOK_TOPIC, topic.to_owned()));
        span.set(names::OUTCOME, outcome.as_str());
        match outcome {
            Outcome::Accepted => span.set(names::HTTP_RESPONSE_STATUS_CODE, 200_i64),
            Outcome::Overloaded | Outcome::Unavailable => {
                span.set(names::HTTP_RESPONSE_STATUS_CODE, 503_i64);
                span.fail(outcome.as_str(), "the webhook was not made durable");
            }
            // The sender hung up: there is no status.
            _ => span.fail(outcome.as_str(), "the webhook was not answered"),
        }
    }
}

impl Publishing {
    /// How it ended.
    pub(crate) fn ended(self, kept: Result<Kept, NotKept>) {
        let Some(span) = self.0 else { return };
        match kept {
            Ok(Kept::Queued) => span.set(names::OUTCOME, "queued"),
            Ok(Kept::Spooled) => span.set(names::OUTCOME, "spooled"),
            Err(error) => span.fail(error.reason(), "the webhook is neither on the queue nor in the spool"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traceparent(headers: &Headers<'_>) -> Option<String> {
        Trace::begin(headers, Instant::now()).publish("webhooks", "1", 2).1
    }

    #[test]
    fn a_well_formed_one_is_taken_over() {
        let headers = Headers::new([("Traceparent", GIVEN.as_bytes())]);
        assert_eq!(traceparent(&headers).as_deref(), Some(GIVEN));
    }

    #[test]
    fn anything_else_begins_a_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for bad in [
            "",
            "00",
            &GIVEN[1..],
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &zero_trace,
            &format!("{GIVEN}-1"),
        ] {
            let fresh = traceparent(&Headers::new([("traceparent", bad.as_bytes())])).unwrap();
            assert!(is_well_formed(&fresh) && fresh != bad, "{bad}");
        }
        let twice = Headers::new([("traceparent", GIVEN.as_bytes()), ("traceparent", GIVEN.as_bytes())]);
        assert_ne!(traceparent(&twice).as_deref(), Some(GIVEN));
        assert_ne!(traceparent(&Headers::default()), traceparent(&Headers::default()));
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(is_well_formed(&traceparent(&Headers::new([("traceparent", value.as_slice())])).unwrap()));
        }
    }
}
