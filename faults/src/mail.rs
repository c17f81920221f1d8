//! A run's own mail sink.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::process::{Spec, Supervised};

/// A mail server that keeps what it is given.
pub(crate) struct MailSink {
    pub(crate) smtp_port: u16,
    http_port: u16,
    process: Supervised,
}

/// How often each id (a Message-ID, an idempotency key) came to an addressee.
pub(crate) type Arrived = BTreeMap<String, BTreeMap<String, u32>>;

#[derive(Deserialize)]
struct Listing {
    messages: Vec<Mail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mail {
    #[serde(rename = "MessageID")]
    message_id: String,
    to: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recipient {
    address: String,
}

impl MailSink {
    /// Starts one on two ports.
    pub(crate) fn start(root: &Path, directory: &Path, ports: [u16; 2]) -> Self {
        let [smtp_port, http_port] = ports;
        let program = root.join("dev/mail_sink.py").display().to_string();
        let command = vec!["/usr/bin/python3".to_owned(), "-u".to_owned(), program];
        let ports = [smtp_port.to_string(), http_port.to_string()];
        let spec = Spec {
            name: "mail".to_owned(),
            command: command.into_iter().chain(ports).collect(),
            directory: directory.to_owned(),
            ..Spec::default()
        };
        Self { smtp_port, http_port, process: Supervised::start(spec) }
    }

    /// Everything that was accepted.
    pub(crate) async fn mails(&self) -> anyhow::Result<Arrived> {
        let url = format!("http://127.0.0.1:{}/api/v1/messages", self.http_port);
        let client = reqwest::Client::builder().no_proxy().build()?;
        let listing: Listing = client.get(url).send().await.context("the mail sink does not answer")?.json().await?;
        let mut mails = Arrived::new();
        for mail in listing.messages {
            for to in mail.to {
                *mails.entry(to.address).or_default().entry(mail.message_id.clone()).or_default() += 1;
            }
        }
        Ok(mails)
    }

    /// Ends it; its mails are gone.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}
