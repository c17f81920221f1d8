//! Performs `email`: a letter of the outbox becomes one mail with a deterministic Message-ID.
//!
//! The Message-ID is `<uuidv5(dedupe key)@sender's domain>`: a mail that had to be sent again
//! carries the same one, by which servers and clients can tell.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use shared::db::outbox::Lease;
use shared::plan::Letter;
use uuid::Uuid;

use super::{Perform, Performance, SmtpPool};

/// Sends mails from one sender.
pub(crate) struct EmailPerformer {
    pub(crate) smtp: Arc<SmtpPool>,
    pub(crate) from: Mailbox,
}

impl Perform for EmailPerformer {
    fn perform<'a>(&'a self, effect: &'a Lease) -> Pin<Box<dyn Future<Output = Performance> + Send + 'a>> {
        Box::pin(async move {
            match self.mail(effect) {
                Ok(mail) => self.smtp.send(&mail).await,
                Err(problem) => Performance::Refused(problem),
            }
        })
    }
}

impl EmailPerformer {
    fn mail(&self, effect: &Lease) -> Result<Message, String> {
        let letter: Letter =
            serde_json::from_str(&effect.intent).map_err(|error| format!("the outbox row: {error}"))?;
        let to = letter.to.parse().map_err(|error| format!("the recipient's address: {error}"))?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .message_id(Some(message_id(&effect.dedupe_key, self.from.email.domain())))
            .body(letter.text)
            .map_err(|error| format!("the mail cannot be written: {error}"))
    }
}

/// The same for the same key, for ever.
fn message_id(dedupe_key: &str, domain: &str) -> String {
    format!("<{}@{domain}>", Uuid::new_v5(&Uuid::NAMESPACE_OID, dedupe_key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_depends_on_nothing_but_key_and_domain() {
        let id = message_id("order-confirmation/shopify/5001", "shop.example");
        assert_eq!(id, message_id("order-confirmation/shopify/5001", "shop.example"));
        assert_ne!(id, message_id("order-confirmation/shopify/5002", "shop.example"));
        assert!(id.starts_with('<') && id.ends_with("@shop.example>"), "{id}");
    }
}
