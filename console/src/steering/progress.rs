//! A progress bar on the terminal, if there is one.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often what cannot be measured shows that it goes on.
const TICK: Duration = Duration::from_millis(200);

/// Shows how far a command is. On standard error, only when that is a terminal; it goes when dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of so many webhooks.
    pub(crate) fn of(webhooks: u64) -> Self {
        Self::counting(webhooks, "webhooks")
    }

    /// Of so many of something else.
    pub(crate) fn counting(count: u64, what: &str) -> Self {
        let bar = ProgressBar::new(count).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows that work goes on of which nobody knows how much it is, for as long as it does.
    pub(crate) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
        let _shown = Self::looking(what);
        work.await
    }

    fn looking(what: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, for {elapsed}") {
            bar.set_style(style);
        }
        bar.tick();
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// So many more are to be dealt with than was known.
    pub(crate) fn expect_more(&self, count: u64) {
        self.0.inc_length(count);
    }

    /// So many more have been dealt with.
    pub(crate) fn advance(&self, count: usize) {
        self.0.inc(count as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
