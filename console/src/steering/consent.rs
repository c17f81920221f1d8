//! Nothing is done to many webhooks by accident: a person agrees, on the command line or at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context;

/// Whether a person has agreed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// By naming one webhook, or by `--yes` or `--all`.
    Given,
    /// Not yet: the terminal is asked, and without one nothing is done.
    Needed,
}

/// Nobody agreed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("nothing is done: {what}? Say --yes, or --dry-run to look first")]
    NobodyToAsk { what: String },
    #[error("nothing is done")]
    No,
}

impl Consent {
    /// Goes on when a person agrees; `what` is the question, such as "redrive 12 webhooks".
    ///
    /// # Errors
    /// When nobody agrees.
    pub(crate) fn obtain(self, what: &str) -> anyhow::Result<()> {
        if self == Self::Given {
            return Ok(());
        }
        let (input, output) = (io::stdin(), io::stderr());
        if !input.is_terminal() || !output.is_terminal() {
            return Err(Refused::NobodyToAsk { what: what.to_owned() }.into());
        }
        if ask(what, &mut input.lock(), &mut output.lock()).context("cannot ask at the terminal")? {
            return Ok(());
        }
        Err(Refused::No.into())
    }
}

/// Only a clear yes is one.
fn ask(what: &str, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    write!(output, "{what}? [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, agreed) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("n\n", false), ("yy", false)]
        {
            let mut asked = Vec::new();
            assert_eq!(ask("redrive 12 webhooks", &mut answer.as_bytes(), &mut asked).unwrap(), agreed, "{answer:?}");
            assert_eq!(asked, b"redrive 12 webhooks? [y/N] ");
        }
    }
}
