//! Log lines are written by a thread of their own: a reader that is stuck (a pipe that nobody empties, a terminal that was
//! stopped) holds up no webhook. What does not fit into the buffer meanwhile is dropped, and counted.

use std::fmt;
use std::io::{BufWriter, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait, unless `LOG_BUFFER_LINES` says otherwise: a few megabytes.
pub(super) const BUFFERED_LINES: usize = 10_000;
/// The most that may be asked for: room for them is taken at the start.
pub(super) const MOST_LINES: usize = 1_000_000;
/// What waits is written together, up to so many bytes.
const WRITTEN_TOGETHER: usize = 64 * 1024;

/// The process' only writer.
static WRITER: Mutex<Writer> = Mutex::new(Writer { dropped: None, thread: None });

struct Writer {
    dropped: Option<ErrorCounter>,
    /// Writes what still waits when it is dropped, for a second.
    thread: Option<WorkerGuard>,
}

/// Begins to write to standard error; at most so many lines wait.
pub(super) fn start(limit: usize) -> NonBlocking {
    let together = BufWriter::with_capacity(WRITTEN_TOGETHER, stderr());
    let (lines, thread) =
        NonBlockingBuilder::default().thread_name("logs").buffered_lines_limit(limit).lossy(true).finish(together);
    *writer() = Writer { dropped: Some(lines.error_counter()), thread: Some(thread) };
    lines
}

/// Writes what still waits, and nothing after it.
pub(super) fn finish() {
    let thread = writer().thread.take();
    drop(thread);
}

fn writer() -> MutexGuard<'static, Writer> {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the lines that were dropped.
#[derive(Debug)]
pub(crate) struct DroppedLines;

impl Collector for DroppedLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let dropped = writer().dropped.as_ref().map_or(0, ErrorCounter::dropped_lines);
        let counter = ConstCounter::new(u64::try_from(dropped).unwrap_or(u64::MAX));
        let help = "Log lines that were dropped, because whoever reads them did not keep up (LOG_BUFFER_LINES)";
        counter.encode(encoder.encode_descriptor("oncehook_log_lines_dropped", help, None, counter.metric_type())?)
    }
}
