//! The terminal while `top` has it; given back as it was, however `top` ends.

use std::io::{self, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, size,
};
use crossterm::{execute, queue};

use crate::output::{Shown, has_colours, plain};

/// A terminal that is drawn on.
pub(super) struct Screen<'o, O: Write> {
    out: &'o mut O,
}

impl<'o, O: Write> Screen<'o, O> {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub(super) fn enter(out: &'o mut O) -> io::Result<Self> {
        execute!(out, EnterAlternateScreen, DisableLineWrap, Hide)?;
        Ok(Self { out })
    }

    /// Draws what is shown over what was drawn before: without clearing first, nothing flickers.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub(super) fn draw(&mut self, shown: &impl Shown) -> io::Result<()> {
        let text = shown.text();
        let text = if has_colours() { text } else { plain(&text) };
        let (_columns, rows) = size()?;
        for (line, row) in text.lines().zip(0..rows) {
            queue!(self.out, MoveTo(0, row))?;
            self.out.write_all(line.as_bytes())?;
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        let drawn = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
        if drawn < rows {
            queue!(self.out, MoveTo(0, drawn), Clear(ClearType::FromCursorDown))?;
        }
        self.out.flush()
    }
}

impl<O: Write> Drop for Screen<'_, O> {
    fn drop(&mut self) {
        if let Err(error) = execute!(self.out, Show, EnableLineWrap, LeaveAlternateScreen) {
            tracing::debug!(%error, "the terminal was gone before it could be given back");
        }
    }
}
