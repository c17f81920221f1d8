//! What is sent again stays in the trace that it began in.

use uuid::Uuid;

/// A W3C trace context (<https://www.w3.org/TR/trace-context/#traceparent-header>) in a trace that is known by its id; the
/// span is a new one, as the first is not kept.
pub(crate) fn traceparent(trace_id: Option<&str>) -> Option<String> {
    let random = Uuid::new_v4().simple().to_string();
    let span = random.get(..16)?;
    trace_id.map(|id| format!("00-{id}-{span}-01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_in_a_span_of_its_own() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let traceparent = traceparent(Some(id)).unwrap();
        let parts: Vec<&str> = traceparent.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[2].len(), parts[3]), ("00", id, 16, "01"));
    }
}
