//! Bodies that hold several webhooks, taken apart: one message an element, its bytes as they stood in the body.
//!
//! Each element is a webhook with its own id, so a retry that overlaps half a body is a duplicate in that half only. What
//! takes a body apart is its provider's file, which ingest and worker must share (`providers_dir`).

use shared::message::{Message, sha256};
use shared::provider::{BATCH_TOPIC, Catalogue};

/// Takes bodies apart.
pub(crate) struct Bundles {
    catalogue: Catalogue,
}

/// A body taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Its elements, each a message of its own.
    pub(crate) elements: Vec<Message>,
    /// Why some are missing; then the body is for a person, too.
    pub(crate) problem: Option<String>,
}

impl Bundles {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self { catalogue }
    }

    /// The elements of a message's body; `None` if it is one webhook.
    pub(crate) fn open(&self, message: &Message) -> Option<Opened> {
        if message.topic != BATCH_TOPIC {
            return None;
        }
        let failed = |problem: String| Some(Opened { elements: Vec::new(), problem: Some(problem) });
        let Some(provider) = self.catalogue.get(message.provider.as_str()) else {
            return failed(format!("the provider {} is not known here, so the body can't be split", message.provider));
        };
        let found = match provider.elements(&message.body)? {
            Ok(found) => found,
            Err(error) => return failed(error.to_string()),
        };
        let (count, mut elements, mut unusable) = (found.len(), Vec::with_capacity(found.len()), None);
        for element in found {
            match element.identity {
                Ok(identity) => elements.push(Message {
                    id: identity.id,
                    topic: identity.topic,
                    body: message.body.slice_ref(element.bytes),
                    body_sha256: sha256(element.bytes),
                    // A person redrove the body, not its webhooks.
                    steering: None,
                    ..message.clone()
                }),
                Err(error) => unusable = unusable.or(Some(error)),
            }
        }
        let missing = count - elements.len();
        let problem =
            unusable.map(|error| format!("{missing} of {count} elements have no usable id or topic: {error}"));
        Some(Opened { elements, problem })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::name::Name;
    use time::OffsetDateTime;

    use super::*;

    fn message(provider: &str, topic: &str, body: &'static str) -> Message {
        Message {
            source: Name::try_from("mails").unwrap(),
            provider: Name::try_from(provider).unwrap(),
            id: "parent".to_owned(),
            topic: topic.to_owned(),
            received_at: OffsetDateTime::UNIX_EPOCH,
            content_type: None,
            headers: Vec::new(),
            body_sha256: sha256(body.as_bytes()),
            attempt: 3,
            steering: None,
            traceparent: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn open(provider: &str, topic: &str, body: &'static str) -> Option<Opened> {
        Bundles::new(Catalogue::built_in().unwrap()).open(&message(provider, topic, body))
    }

    #[test]
    fn each_element_is_a_message_with_its_own_bytes() {
        let opened = open("sendgrid", "batch", r#"[ {"sg_event_id":"a","event":"open"} , {"event":"click"}]"#).unwrap();
        assert_eq!(opened.problem, None);
        let [first, second] = &opened.elements[..] else { panic!("{opened:?}") };
        assert_eq!((first.id.as_str(), first.topic.as_str()), ("a", "open"));
        assert_eq!(&first.body[..], br#"{"sg_event_id":"a","event":"open"}"#);
        assert_eq!(first.body_sha256, sha256(&first.body));
        assert_eq!((second.id.len(), second.topic.as_str()), (64, "click"));
    }

    #[test]
    fn what_holds_one_webhook_is_left_alone() {
        assert_eq!(open("sendgrid", "open", "{}"), None);
        assert_eq!(open("generic", "batch", "{}"), None, "a topic that a sender chose");
    }

    #[test]
    fn what_cannot_be_split_is_told() {
        assert!(open("sendgrid", "batch", "{}").unwrap().problem.unwrap().contains("no list"));
        assert!(open("of-my-own", "batch", "{}").unwrap().problem.unwrap().contains("not known here"));
        let some = open(
            "sendgrid",
            "batch",
            r#"[{"sg_event_id":"","event":"open"},{"sg_event_id":"b","event":"batch"},{"sg_event_id":"c","event":"open"}]"#,
        );
        let some = some.unwrap();
        assert_eq!(some.elements.len(), 1);
        assert!(some.problem.unwrap().starts_with("2 of 3 elements have no usable id or topic"));
    }
}
