//! Tests wait on conditions, never for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take to come true on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is `Some`.
///
/// # Panics
/// When it is still `None` after [`PATIENCE`]; `what` says what was waited for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// The same with a patience of its own.
///
/// # Panics
/// When it is still `None` after `patience`.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < patience, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
