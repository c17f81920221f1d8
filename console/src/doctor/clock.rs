//! Clocks: how far that of another machine and this one's may be apart.

use time::Duration;

use super::finding::Findings;

/// Clocks that differ by more make leases and ages look wrong.
const DOUBTFUL: Duration = Duration::seconds(5);
/// Clocks that differ by more have signatures refused that are good.
const WRONG: Duration = Duration::seconds(60);

/// Says how far another's clock and this machine's are apart.
pub(super) fn compare(subject: impl Into<String>, apart: Duration, found: &mut Findings) {
    let says = format!("its clock and this machine's are {:.1} s apart", apart.as_seconds_f64());
    let mend = "let NTP (chrony, systemd-timesyncd) set the clocks of all machines";
    if apart > WRONG {
        found.fail(subject, says, mend);
    } else if apart > DOUBTFUL {
        found.warn(subject, says, mend);
    } else {
        found.ok(subject, says);
    }
}
