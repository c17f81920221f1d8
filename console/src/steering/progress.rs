//! A progress bar on the terminal, if there is one.

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a command is. On standard error, only when that is a terminal; it goes when dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of so many webhooks.
    pub(crate) fn of(webhooks: u64) -> Self {
        let bar = ProgressBar::new(webhooks);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} webhooks, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many more have been dealt with.
    pub(crate) fn advance(&self, webhooks: usize) {
        self.0.inc(webhooks as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
