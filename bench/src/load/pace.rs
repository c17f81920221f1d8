//! The clock of the open loop: says when a request should begin, whether or not the earlier ones are answered.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Sends the moments at which requests should begin, each when it has come, for a time. A thread of its own sleeps
/// between them: tokio's timers are too coarse for rates of thousands a second.
pub(crate) fn pace(per_second: f64, lasts: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (began, step) = (Instant::now(), Duration::from_secs_f64(1.0 / per_second));
        let mut intended = began;
        while intended < began + lasts {
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            if tell.send(intended).is_err() {
                return;
            }
            intended += step;
        }
    });
    told
}
