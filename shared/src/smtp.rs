//! Where mail goes, and how a session with that server is opened: what a worker does before a mail, and `oncehook
//! doctor` without one.
//!
//! No error shows the address: it holds a password.

use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where mail goes: from `SMTP_URL`.
#[derive(Clone)]
pub struct SmtpConfig {
    host: String,
    port: u16,
    tls: SmtpTls,
    credentials: Option<Credentials>,
}

/// How the way to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
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
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(url: &SecretString) -> Result<Self, SmtpUrlError> {
        let wrong = |problem: &str| SmtpUrlError(problem.to_owned());
        let url = Url::parse(url.expose_secret()).map_err(|error| SmtpUrlError(error.to_string()))?;
        let mut tls = None;
        for (key, value) in url.query_pairs() {
            match (key.as_ref(), value.as_ref()) {
                ("tls", "required") => tls = Some(SmtpTls::Required),
                ("tls", "none") => tls = Some(SmtpTls::None),
                _ => return Err(wrong("the only parameter is tls=required or tls=none")),
            }
        }
        let (tls, default_port) = match (url.scheme(), tls) {
            ("smtps", None) => (SmtpTls::Implicit, 465),
            ("smtp", Some(SmtpTls::Required)) => (SmtpTls::Required, 587),
            ("smtp", _) => (SmtpTls::None, 25),
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

    /// Without credentials: `host:port`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The server's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How the way there is secured.
    #[must_use]
    pub fn tls(&self) -> SmtpTls {
        self.tls
    }

    /// Whether the server is told a user and a password.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Opens a session that is ready for a mail. `timeout` bounds TCP's part of it alone; a
    /// server that says nothing is left to the caller's patience.
    ///
    /// # Errors
    /// When a step fails; the server has been sent no mail then.
    pub async fn connect(&self, hello: &ClientId, timeout: Duration) -> Result<AsyncSmtpConnection, SmtpConnectError> {
        let Self { host, port, tls, credentials } = self;
        let parameters = || TlsParameters::new(host.clone());
        let wrapper = match tls {
            SmtpTls::Implicit => Some(parameters().map_err(SmtpConnectError::Greeting)?),
            SmtpTls::None | SmtpTls::Required => None,
        };
        let address = (host.as_str(), *port);
        let connected = AsyncSmtpConnection::connect_tokio1(address, Some(timeout), hello, wrapper, None).await;
        let mut session = connected.map_err(SmtpConnectError::Greeting)?;
        if *tls == SmtpTls::Required {
            let parameters = parameters().map_err(SmtpConnectError::StartTls)?;
            session.starttls(parameters, hello).await.map_err(SmtpConnectError::StartTls)?;
        }
        if let Some(credentials) = credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            session.auth(&mechanisms, credentials).await.map_err(SmtpConnectError::Credentials)?;
        }
        Ok(session)
    }
}

/// Why there is no session with the mail server: the step that failed.
#[derive(Debug, thiserror::Error)]
pub enum SmtpConnectError {
    /// It is not there, does not greet, or TLS fails.
    #[error("cannot connect to the mail server")]
    Greeting(#[source] SmtpError),
    /// It offers no STARTTLS, or TLS fails.
    #[error("the mail server does not start TLS")]
    StartTls(#[source] SmtpError),
    /// It does not want this user and password.
    #[error("the mail server does not accept the user and the password")]
    Credentials(#[source] SmtpError),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SmtpConfig, SmtpUrlError> {
        SmtpConfig::parse(&SecretString::from(url))
    }

    #[test]
    fn urls_say_host_port_tls_and_credentials() {
        let plain = parse("smtp://127.0.0.1:2525").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.tls), ("127.0.0.1", 2525, SmtpTls::None));
        assert!(plain.credentials.is_none());
        let starttls = parse("smtp://mail.example?tls=required").unwrap();
        assert_eq!((starttls.port, starttls.tls), (587, SmtpTls::Required));
        let implicit = parse("smtps://me%40example.com:p%2Bw%3Ard+@mail.example").unwrap();
        assert_eq!((implicit.port, implicit.tls), (465, SmtpTls::Implicit));
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
