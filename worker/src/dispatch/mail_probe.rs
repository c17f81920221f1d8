//! Asks the mail server whether it is there, so that a broken one shows before there is mail.
//!
//! By NOOP on a session of its own, which is opened anew after a while: so a changed password or certificate shows, too,
//! and the server sees few logins. It sends no mail and opens no breaker: only what becomes of mails does that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::Noop;
use shared::backoff::now_and_then;
use shared::config::DispatchConfig;
use shared::error_chain::error_chain;
use tokio_util::sync::CancellationToken;

use super::{Destinations, SmtpPool};

/// How long a session is asked on. Servers count commands that bring no mail (Postfix: a hundred are too many).
const SESSION: Duration = Duration::from_secs(60);

/// A mail server, and how often it is asked.
pub(crate) struct MailProbe {
    smtp: Arc<SmtpPool>,
    every: Duration,
    within: Duration,
}

impl MailProbe {
    pub(crate) fn new(smtp: Arc<SmtpPool>, config: &DispatchConfig) -> Self {
        let (every, within) = (config.mail_probe_ms, config.mail_probe_timeout_ms);
        Self { smtp, every: Duration::from_millis(every), within: Duration::from_millis(within) }
    }

    /// Asks until told to stop.
    pub(crate) async fn run(self, destinations: Destinations, stop: CancellationToken) {
        let mut session = None;
        let asking = async {
            loop {
                let answer = match tokio::time::timeout(self.within, self.ask(&mut session)).await {
                    Ok(answer) => answer,
                    Err(_elapsed) => Err(format!("no answer within {} ms", self.within.as_millis())),
                };
                if answer.is_err() {
                    session = None;
                }
                destinations.hear_of_mail_server(answer);
                tokio::time::sleep(now_and_then(self.every)).await;
            }
        };
        tokio::select! {
            () = asking => {}
            () = stop.cancelled() => {}
        }
        if let Some((mut session, _since)) = session {
            // A courtesy; nobody waits for a server that is away.
            drop(tokio::time::timeout(self.within, session.quit()).await);
        }
    }

    /// A session that has died since is no fault of the server's: it may have closed it, or started anew.
    async fn ask(&self, kept: &mut Option<(AsyncSmtpConnection, Instant)>) -> Result<(), String> {
        if let Some((mut session, since)) = kept.take() {
            if since.elapsed() < SESSION && session.command(Noop).await.is_ok() {
                *kept = Some((session, since));
                return Ok(());
            }
            drop(session.quit().await);
        }
        let mut session = self.smtp.open(self.within).await.map_err(|error| error_chain(&error))?;
        session.command(Noop).await.map_err(|error| error_chain(&error))?;
        *kept = Some((session, Instant::now()));
        Ok(())
    }
}
