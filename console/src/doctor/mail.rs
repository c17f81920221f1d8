//! The mail server: a session is opened as for a mail, and ended without one.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use secrecy::SecretString;
use shared::config::Config;
use shared::error_chain::error_chain;
use shared::smtp::{SmtpConfig, SmtpConnectError, SmtpTls};

use super::command::DoctorArgs;
use super::finding::Findings;

/// How long a session may take to be opened: TCP, greeting, TLS and password.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at the mail server, if there is anything to be sent.
pub(super) async fn look(arguments: &DoctorArgs, config: Option<&Config>, found: &mut Findings) {
    let mails = config.is_none_or(|config| !config.effects.email.is_empty()) || arguments.operator_email.is_some();
    sender(arguments, mails, found);
    match &arguments.smtp_url {
        Some(url) => server(url, found).await,
        None if mails => {
            let mend = "set it where the workers run, and for this command too: smtps://user:password@host:465";
            found.fail("SMTP_URL", "it is not set, and there are mails to send", mend);
        }
        None => found.skip("SMTP_URL", "it is not set, and there are no mails to send"),
    }
}

fn sender(arguments: &DoctorArgs, mails: bool, found: &mut Findings) {
    let mend = "set it to shop@example.com or \"Our shop <shop@example.com>\"";
    match arguments.mail_from.as_deref().map(str::parse::<Mailbox>) {
        Some(Ok(_)) => found.ok("MAIL_FROM", "is an address"),
        Some(Err(error)) => found.fail("MAIL_FROM", error_chain(&error), mend),
        None if mails => found.fail("MAIL_FROM", "it is not set, and there are mails to send", mend),
        None => found.skip("MAIL_FROM", "it is not set, and there are no mails to send"),
    }
    match arguments.operator_email.as_deref().map(str::parse::<lettre::Address>) {
        Some(Ok(_)) => found.ok("OPERATOR_EMAIL", "is an address"),
        Some(Err(error)) => found.fail("OPERATOR_EMAIL", error_chain(&error), "set it to ops@example.com"),
        None => {
            let problem = "it is not set: nobody is told when a webhook parks";
            found.warn("OPERATOR_EMAIL", problem, "set it, or watch `oncehook status`");
        }
    }
}

async fn server(url: &SecretString, found: &mut Findings) {
    let config = match SmtpConfig::parse(url) {
        Ok(config) => config,
        Err(error) => return found.fail("SMTP_URL", error_chain(&error), "mend the address"),
    };
    let place = config.place();
    let hello = ClientId::default();
    let connecting = config.connect(&hello, SESSION_TIMEOUT);
    let mut session = match tokio::time::timeout(SESSION_TIMEOUT, connecting).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return found.fail(place, error_chain(&error), mend(&error)),
        Err(_elapsed) => {
            let problem = format!("there is no session after {} s", SESSION_TIMEOUT.as_secs());
            let mend = "mend host and port (smtps:// is for port 465), or find out what holds the mail server up";
            return found.fail(place, problem, mend);
        }
    };
    let log_in = if config.has_credentials() { "takes the user and the password" } else { "asks for no password" };
    let offered = session.can_starttls();
    found.ok(&place, format!("{} greets {} and {log_in}", session.server_info().name(), way(config.tls())));
    if config.tls() == SmtpTls::None && (config.has_credentials() || offered) {
        let problem = "mails go there in the clear";
        found.warn(&place, problem, "use smtps://, or add ?tls=required, unless the network in between is yours");
    }
    // Whatever it answers: it has been sent nothing.
    if let Err(error) = session.quit().await {
        found.warn(&place, format!("it does not say goodbye: {}", error_chain(&error)), "look into its log");
    }
}

fn way(tls: SmtpTls) -> &'static str {
    match tls {
        SmtpTls::None => "in the clear",
        SmtpTls::Required => "over STARTTLS",
        SmtpTls::Implicit => "over TLS",
    }
}

fn mend(error: &SmtpConnectError) -> &'static str {
    match error {
        SmtpConnectError::Greeting(_) => {
            "start the mail server, or mend host, port and firewall (many networks block port 25); smtps:// is for port 465"
        }
        SmtpConnectError::StartTls(_) => {
            "use smtps:// if it has TLS from the first byte; its certificate must be trusted here"
        }
        SmtpConnectError::Credentials(_) => "mend user and password, percent-encoded, in SMTP_URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_and_operator_are_addresses_or_it_is_told() {
        let told = |mail_from: Option<&str>, operator_email: Option<&str>, mails| {
            let (mail_from, operator_email) = (mail_from.map(str::to_owned), operator_email.map(str::to_owned));
            let arguments = DoctorArgs { mail_from, operator_email, ..DoctorArgs::default() };
            Findings::told_by(|found| sender(&arguments, mails, found))
        };
        assert_eq!(
            told(Some("Our shop <shop@example.com>"), Some("ops@example.com"), true),
            ["ok MAIL_FROM: is an address", "ok OPERATOR_EMAIL: is an address"]
        );
        let wrong = told(Some("our shop"), Some("ops"), true);
        assert!(wrong[0].starts_with("failure MAIL_FROM: ") && wrong[1].starts_with("failure OPERATOR_EMAIL: "));
        let nobody = "warning OPERATOR_EMAIL: it is not set: nobody is told when a webhook parks";
        assert_eq!(told(None, None, true), ["failure MAIL_FROM: it is not set, and there are mails to send", nobody]);
        assert_eq!(
            told(None, None, false),
            ["skipped MAIL_FROM: it is not set, and there are no mails to send", nobody]
        );
    }
}
