//! What arrived at the mail sink.

use serde::Deserialize;

use crate::services::setting;

/// One received mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mail {
    /// The Message-ID without its angle brackets.
    #[serde(rename = "MessageID")]
    pub message_id: String,
    /// The recipients.
    pub to: Vec<Mailbox>,
    /// The subject, decoded.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The user that the session had logged in as.
    pub authenticated_as: Option<String>,
}

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mailbox {
    /// The address.
    pub address: String,
}

#[derive(Deserialize)]
struct Received {
    messages: Vec<Mail>,
}

/// All mails to addresses of a domain, the newest first.
///
/// # Panics
/// When the sink does not answer.
pub async fn received(domain: &str) -> Vec<Mail> {
    let url = setting("MAIL_API_URL");
    let answer = reqwest::get(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    let received: Received = answer.json().await.unwrap();
    let to_domain = |mail: &Mail| mail.to.iter().any(|to| to.address.ends_with(&format!("@{domain}")));
    received.messages.into_iter().filter(to_domain).collect()
}
