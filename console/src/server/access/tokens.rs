//! The tokens that are valid: those that are configured, else one that was made up at the first start.
//!
//! Kept and compared as hashes. A token has at least 24 characters, or it is not taken: nothing here slows a guesser
//! down beyond [`super::attempts`].

use aws_lc_rs::{constant_time, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::Client;
use secrecy::{ExposeSecret, SecretString};
use shared::db::console_tokens::{self, Kept, Role};
use shared::message::sha256;

/// The shortest token that is taken, in characters.
const MIN_CHARS: usize = 24;
/// What every made-up token begins with, so that scanners for leaked secrets can know it.
const PREFIX: &str = "oncehook_";

/// The tokens that are valid, as hashes.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Vec<(Vec<u8>, Role)>);

/// Tokens that are configured, by role.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfiguredTokens {
    pub(crate) viewer: Option<SecretString>,
    pub(crate) operator: Option<SecretString>,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokensError {
    #[error("the {role}'s token is shorter than {MIN_CHARS} characters; make one with: openssl rand -hex 32")]
    TooShort { role: &'static str },
    #[error("the viewer's and the operator's token are the same")]
    Same,
    #[error("cannot read the tokens that are kept")]
    Database(#[from] deadpool_postgres::tokio_postgres::Error),
    #[error("the system has no randomness for a token")]
    Random,
}

/// A token that was made up, to be shown once.
pub(crate) struct MadeUp(pub(crate) SecretString);

impl Tokens {
    /// The configured tokens. Without an operator's, the one that was made up before; at the very first start, one is
    /// made up now.
    pub(crate) async fn settle(
        configured: &ConfiguredTokens,
        client: &Client,
    ) -> Result<(Self, Option<MadeUp>), TokensError> {
        let mut valid = configured.hashes()?;
        if configured.operator.is_some() {
            return Ok((Self(valid), None));
        }
        let kept = console_tokens::list(client).await?;
        if kept.is_empty() {
            let token = random_text()?;
            let token = format!("{PREFIX}{token}");
            if console_tokens::keep(client, &sha256(token.as_bytes()), Role::Operator).await? == Kept::Kept {
                valid.push((sha256(token.as_bytes()).to_vec(), Role::Operator));
                return Ok((Self(valid), Some(MadeUp(token.into()))));
            }
        }
        // Another console was first, or made one up long ago.
        valid.extend(console_tokens::list(client).await?);
        Ok((Self(valid), None))
    }

    /// What a token allows; `None` when it is not valid.
    pub(crate) fn role(&self, token: &str) -> Option<Role> {
        self.role_of_hash(&sha256(token.as_bytes()))
    }

    /// What the token with this hash allows; `None` when it is not valid, or no longer.
    pub(crate) fn role_of_hash(&self, hash: &[u8]) -> Option<Role> {
        let same = |known: &[u8]| constant_time::verify_slices_are_equal(known, hash).is_ok();
        self.0.iter().find(|(known, _role)| same(known)).map(|(_known, role)| *role)
    }
}

impl ConfiguredTokens {
    fn hashes(&self) -> Result<Vec<(Vec<u8>, Role)>, TokensError> {
        let mut hashes = Vec::new();
        for (token, role) in [(&self.viewer, Role::Viewer), (&self.operator, Role::Operator)] {
            let Some(token) = token else { continue };
            if token.expose_secret().chars().count() < MIN_CHARS {
                return Err(TokensError::TooShort { role: role.as_str() });
            }
            hashes.push((sha256(token.expose_secret().as_bytes()).to_vec(), role));
        }
        match hashes.as_slice() {
            [(one, _), (other, _)] if one == other => Err(TokensError::Same),
            _ => Ok(hashes),
        }
    }
}

/// 256 random bits as text.
pub(crate) fn random_text() -> Result<String, TokensError> {
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_unspecified| TokensError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(viewer: &str, operator: &str) -> ConfiguredTokens {
        let token = |text: &str| (!text.is_empty()).then(|| text.to_owned().into());
        ConfiguredTokens { viewer: token(viewer), operator: token(operator) }
    }

    #[test]
    fn each_token_has_its_role_and_any_other_has_none() {
        let (viewer, operator) = ("v".repeat(24), "o".repeat(24));
        let tokens = Tokens(configured(&viewer, &operator).hashes().unwrap());
        assert_eq!(tokens.role(&viewer), Some(Role::Viewer));
        assert_eq!(tokens.role(&operator), Some(Role::Operator));
        for stranger in ["", "o", &operator[1..], &format!("{operator}o")] {
            assert_eq!(tokens.role(stranger), None);
        }
    }

    #[test]
    fn short_and_equal_tokens_are_refused() {
        assert!(matches!(configured("short", "").hashes(), Err(TokensError::TooShort { role: "viewer" })));
        let token = "t".repeat(24);
        assert!(matches!(configured(&token, &token).hashes(), Err(TokensError::Same)));
    }
}
