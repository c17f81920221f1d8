//! SMTP, one step at a time, so that an error tells whether the server may have the mail.
//!
//! lettre's `send` does not say how far it came. Here an error before the end of DATA means that
//! the server has nothing; an answer to DATA's end is the server's word; no answer to it is
//! ambiguous (RFC 5321, section 4.5.3.2.6, has the server finish even when the client is gone).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{PeerCertificates, Performance};
use shared::error_chain::error_chain;

/// Servers close idle sessions (RFC 5321 asks them for 5 minutes, many give less).
const MAX_IDLE: Duration = Duration::from_secs(20);

/// What metrics call the mail server.
const PEER: &str = "smtp";

/// Where mail goes: from `SMTP_URL`.
#[derive(Clone)]
pub(crate) struct SmtpConfig {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// `smtp://`: in the clear, for a relay on a trusted network.
    None,
    /// `smtp://…?tls=required`: STARTTLS, or no mail.
    Required,
    /// `smtps://`: TLS from the first byte.
    Implicit,
}

/// Why `SMTP_URL` is not one. Shows no part of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("SMTP_URL is not an SMTP address such as smtps://user:password@host:465 or smtp://host:25: {0}")]
pub struct SmtpUrlError(String);

impl SmtpConfig {
    /// Reads `smtp://`, `smtp://…?tls=required` or `smtps://`, with optional percent-encoded
    /// credentials. Default ports: 25, 587 and 465.
    pub(crate) fn parse(url: &SecretString) -> Result<Self, SmtpUrlError> {
        let wrong = |problem: &str| SmtpUrlError(problem.to_owned());
        let url = Url::parse(url.expose_secret()).map_err(|error| SmtpUrlError(error.to_string()))?;
        let mut tls = None;
        for (key, value) in url.query_pairs() {
            match (key.as_ref(), value.as_ref()) {
                ("tls", "required") => tls = Some(Tls::Required),
                ("tls", "none") => tls = Some(Tls::None),
                _ => return Err(wrong("the only parameter is tls=required or tls=none")),
            }
        }
        let (tls, default_port) = match (url.scheme(), tls) {
            ("smtps", None) => (Tls::Implicit, 465),
            ("smtp", Some(Tls::Required)) => (Tls::Required, 587),
            ("smtp", _) => (Tls::None, 25),
            _ => return Err(wrong("the scheme is smtp, or smtps without tls=")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(default_port),
            tls,
            credentials: credentials(&url)?,
        })
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, SmtpUrlError> {
    let decode = |text: &str| {
        let query = format!("x={}", text.replace('+', "%2B"));
        let decoded = url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned());
        decoded.unwrap_or_default()
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => Err(SmtpUrlError("give both a user and a password, or neither".to_owned())),
        (user, Some(password)) => Ok(Some(Credentials::new(decode(user), decode(password)))),
    }
}

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
        if config.tls != Tls::None {
            certificates.expect(PEER);
        }
        Self { config, hello: ClientId::default(), begin_timeout, certificates, idle: Mutex::default() }
    }

    /// Sends one mail.
    pub(crate) async fn send(&self, mail: &Message) -> Performance {
        match tokio::time::timeout(self.begin_timeout, self.begin(mail)).await {
            Ok(Ok(session)) => self.finish(session, mail).await,
            Ok(Err(BeginError::Recipient(error))) if error.is_permanent() => Performance::Refused(error_chain(&error)),
            Ok(Err(BeginError::Recipient(error) | BeginError::Session(error))) => {
                Performance::NotSent(error_chain(&error))
            }
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
        let mut session = self.connect().await.map_err(BeginError::Session)?;
        announce(&mut session, mail).await?;
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

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let SmtpConfig { host, port, tls, credentials } = &self.config;
        let parameters = || TlsParameters::new(host.clone());
        let wrapper = if *tls == Tls::Implicit { Some(parameters()?) } else { None };
        let address = (host.as_str(), *port);
        let mut session =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.begin_timeout), &self.hello, wrapper, None).await?;
        if *tls == Tls::Required {
            session.starttls(parameters()?, &self.hello).await?;
        }
        if *tls != Tls::None
            && let Ok(der) = session.peer_certificate()
        {
            self.certificates.seen(PEER, &der);
        }
        if let Some(credentials) = credentials {
            session.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(session)
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

/// Why the server has no mail.
enum BeginError {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SmtpConfig, SmtpUrlError> {
        SmtpConfig::parse(&SecretString::from(url))
    }

    #[test]
    fn urls_say_host_port_tls_and_credentials() {
        let plain = parse("smtp://127.0.0.1:2525").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.tls), ("127.0.0.1", 2525, Tls::None));
        assert!(plain.credentials.is_none());
        let starttls = parse("smtp://mail.example?tls=required").unwrap();
        assert_eq!((starttls.port, starttls.tls), (587, Tls::Required));
        let implicit = parse("smtps://me%40example.com:p%2Bw%3Ard+@mail.example").unwrap();
        assert_eq!((implicit.port, implicit.tls), (465, Tls::Implicit));
        let expected = Credentials::new("me@example.com".to_owned(), "p+w:rd+".to_owned());
        assert_eq!(implicit.credentials, Some(expected));
        assert_eq!(parse("smtp://[::1]:25").unwrap().host, "::1");
    }

    #[test]
    fn mistakes_show_no_part_of_the_url() {
        for bad in ["", "mail.example", "http://u:hunter2@x", "smtp://u@x", "smtp://:hunter2@x", "smtps://x?tls=maybe"]
        {
            let error = parse(bad).err().expect(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
