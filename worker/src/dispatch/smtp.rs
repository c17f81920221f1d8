//! SMTP, one step at a time, so that an error tells whether the server may have the mail.
//!
//! lettre's `send` does not say how far it came. Here an error before the end of DATA means that
//! the server has nothing; an answer to DATA's end is the server's word; no answer to it is
//! ambiguous (RFC 5321, section 4.5.3.2.6, has the server finish even when the client is gone).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Category;
use shared::error_chain::error_chain;
use shared::smtp::{SmtpConfig, SmtpConnectError, SmtpTls};
use shared::traces;

use super::{PeerCertificates, Performance};

/// Servers close idle sessions (RFC 5321 asks them for 5 minutes, many give less).
const MAX_IDLE: Duration = Duration::from_secs(20);

/// What metrics call the mail server.
const PEER: &str = "smtp";

/// Sends mails over sessions that are kept for the next mail.
pub(crate) struct SmtpPool {
    config: SmtpConfig,
    hello: ClientId,
    /// How long connecting, MAIL, RCPT and DATA may take together.
    begin_timeout: Duration,
    certificates: PeerCertificates,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl SmtpPool {
    pub(crate) fn new(config: SmtpConfig, begin_timeout: Duration, certificates: PeerCertificates) -> Self {
        if config.tls() != SmtpTls::None {
            certificates.expect(PEER);
        }
        Self { config, hello: ClientId::default(), begin_timeout, certificates, idle: Mutex::default() }
    }

    /// Sends one mail.
    pub(crate) async fn send(&self, mail: &Message) -> Performance {
        traces::calls(self.config.host(), self.config.port());
        match tokio::time::timeout(self.begin_timeout, self.begin(mail)).await {
            Ok(Ok(session)) => self.finish(session, mail).await,
            Ok(Err(BeginError::Recipient(error))) if error.is_permanent() => Performance::Refused(error_chain(&error)),
            Ok(Err(BeginError::Recipient(error))) if is_of_the_recipient(&error) => {
                Performance::Declined { after: None, error: error_chain(&error) }
            }
            Ok(Err(BeginError::Recipient(error) | BeginError::Session(error))) => {
                Performance::NotSent(error_chain(&error))
            }
            Ok(Err(BeginError::Connect(error))) => Performance::NotSent(error_chain(&error)),
            Err(_elapsed) => {
                let waited = self.begin_timeout.as_millis();
                Performance::NotSent(format!("the server did not ask for the mail within {waited} ms"))
            }
        }
    }

    /// Up to the server's go-ahead for the text: an error means that it has nothing.
    async fn begin(&self, mail: &Message) -> Result<AsyncSmtpConnection, BeginError> {
        if let Some(mut session) = self.take_idle() {
            match announce(&mut session, mail).await {
                Ok(()) => return Ok(session),
                Err(BeginError::Recipient(error)) if error.status().is_some() => {
                    return Err(BeginError::Recipient(error));
                }
                Err(_kept_session_may_have_died) => {}
            }
        }
        let mut session = self.open(self.begin_timeout).await.map_err(BeginError::Connect)?;
        announce(&mut session, mail).await?;
        Ok(session)
    }

    /// A session of its own, which is ready for a mail; see [`SmtpConfig::connect`] for what `timeout` bounds.
    pub(crate) async fn open(&self, timeout: Duration) -> Result<AsyncSmtpConnection, SmtpConnectError> {
        let session = self.config.connect(&self.hello, timeout).await?;
        if self.config.tls() != SmtpTls::None
            && let Ok(der) = session.peer_certificate()
        {
            self.certificates.seen(PEER, &der);
        }
        Ok(session)
    }

    /// The text and its final dot: only the server's own answer is certain.
    async fn finish(&self, mut session: AsyncSmtpConnection, mail: &Message) -> Performance {
        let error = match session.message(&mail.formatted()).await {
            Ok(_accepted) => {
                self.keep(session);
                return Performance::Sent;
            }
            Err(error) => error,
        };
        // The session is dropped without a QUIT: waiting for its answer could cost us the deadline.
        if error.is_permanent() {
            Performance::Refused(error_chain(&error))
        } else if error.is_transient() {
            Performance::NotSent(error_chain(&error))
        } else {
            Performance::Unknown(error_chain(&error))
        }
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < MAX_IDLE);
        idle.pop().map(|(session, _)| session)
    }

    fn keep(&self, session: AsyncSmtpConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
    }
}

/// Whether a server that refuses a recipient for now means this one (a greylist, a full mailbox) and not the session, as
/// 421 does: its second digit is about the channel (RFC 5321, section 4.2.1).
fn is_of_the_recipient(error: &SmtpError) -> bool {
    error.is_transient() && error.status().is_some_and(|code| code.category != Category::Connections)
}

/// Why the server has no mail.
enum BeginError {
    /// There is no session.
    Connect(SmtpConnectError),
    /// It refused this recipient.
    Recipient(SmtpError),
    /// It refused us, for whatever reason (a changed password, a blocklist, an outage): mail to
    /// anyone would fare the same, so it is tried again.
    Session(SmtpError),
}

/// MAIL, RCPT, DATA: afterwards the server waits for the text. A session that fails is dropped
/// without a QUIT: waiting for its answer could cost us the deadline.
async fn announce(session: &mut AsyncSmtpConnection, mail: &Message) -> Result<(), BeginError> {
    let envelope = mail.envelope();
    let international = envelope.to().iter().chain(envelope.from()).any(|address| !address.to_string().is_ascii());
    let mut options = Vec::new();
    if international && session.server_info().supports_feature(Extension::SmtpUtfEight) {
        options.push(MailParameter::SmtpUtfEight);
    }
    let from = Mail::new(envelope.from().cloned(), options);
    session.command(from).await.map_err(BeginError::Session)?;
    for recipient in envelope.to() {
        session.command(Rcpt::new(recipient.clone(), Vec::new())).await.map_err(BeginError::Recipient)?;
    }
    session.command(Data).await.map_err(BeginError::Session)?;
    Ok(())
}
