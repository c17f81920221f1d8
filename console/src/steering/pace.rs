//! How fast webhooks go out, how many are in memory at once, and when it is enough.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Webhooks a second where nobody says how many: few enough for what their effects call.
pub(crate) const DEFAULT_RATE: u32 = 100;
/// The most webhooks that are published side by side.
const MAX_GROUP: u32 = 100;
/// The most bytes of bodies in memory at once; a larger body goes alone.
const GROUP_BYTES: i64 = 16 * 1024 * 1024;

/// A rate that is kept on the average, group by group, until somebody interrupts.
#[derive(Debug)]
pub(crate) struct Pace {
    /// 0: without limit.
    per_second: u32,
    /// When the next group may go out.
    due: Option<Instant>,
    stop: CancellationToken,
}

/// Whether a group may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now.
    Go,
    /// Somebody has interrupted: no more.
    Stop,
}

impl Pace {
    /// So many webhooks a second, 0 for as many as there are, until SIGINT or SIGTERM.
    pub(crate) fn new(per_second: u32) -> Self {
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        tokio::spawn(async move {
            if shared::shutdown::signalled().await.is_ok() {
                signalled.cancel();
            }
        });
        Self::until(per_second, stop)
    }

    /// The same, until `stop` is cancelled.
    pub(crate) fn until(per_second: u32, stop: CancellationToken) -> Self {
        Self { per_second, due: None, stop }
    }

    /// Cuts webhooks, in order, into groups that go out side by side: never more than a second's worth, nor more
    /// bytes than memory is to hold.
    pub(crate) fn groups<T>(&self, webhooks: Vec<T>, bytes_of: impl Fn(&T) -> i64) -> Vec<Vec<T>> {
        let most = if self.per_second == 0 { MAX_GROUP } else { self.per_second.min(MAX_GROUP) };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut groups: Vec<Vec<T>> = Vec::new();
        let mut bytes = 0;
        for webhook in webhooks {
            let size = bytes_of(&webhook);
            match groups.last_mut() {
                Some(group) if group.len() < most && bytes + size <= GROUP_BYTES => {
                    bytes += size;
                    group.push(webhook);
                }
                _ => {
                    bytes = size;
                    groups.push(vec![webhook]);
                }
            }
        }
        groups
    }

    /// Waits until so many webhooks may go out.
    pub(crate) async fn turn(&mut self, webhooks: usize) -> Turn {
        let due = self.book(Instant::now(), webhooks);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Turn::Stop,
            () = tokio::time::sleep_until(due) => Turn::Go,
        }
    }

    /// When a group may go out; the next one waits for it.
    fn book(&mut self, now: Instant, webhooks: usize) -> Instant {
        if self.per_second == 0 {
            return now;
        }
        // What was missed while the broker was slow is not made up for.
        let turn = self.due.map_or(now, |due| due.max(now));
        let webhooks = u32::try_from(webhooks).unwrap_or(u32::MAX);
        self.due = Some(turn + Duration::from_secs(webhooks.into()) / self.per_second);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u32) -> Pace {
        Pace { per_second, due: None, stop: CancellationToken::new() }
    }

    #[test]
    fn the_rate_is_kept_on_the_average_and_nothing_is_made_up_for() {
        let begin = Instant::now();
        let ms = |ms| begin + Duration::from_millis(ms);
        let mut pace = pace(200);
        assert_eq!(pace.book(begin, 100), begin);
        assert_eq!(pace.book(ms(10), 100), ms(500));
        assert_eq!(pace.book(ms(510), 20), ms(1_000));
        assert_eq!(pace.book(ms(9_000), 100), ms(9_000));
        assert_eq!(pace.book(ms(9_001), 100), ms(9_500));
    }

    #[test]
    fn no_rate_waits_for_nothing() {
        let (now, mut unlimited) = (Instant::now(), pace(0));
        assert_eq!((unlimited.book(now, 100), unlimited.book(now, 100)), (now, now));
    }

    #[test]
    fn groups_are_bounded_by_count_and_by_bytes() {
        let lengths = |per_second, sizes: Vec<i64>| {
            let groups = pace(per_second).groups(sizes, |size| *size);
            groups.iter().map(Vec::len).collect::<Vec<usize>>()
        };
        assert_eq!(lengths(0, vec![1; 250]), [100, 100, 50]);
        assert_eq!(lengths(3, vec![1; 7]), [3, 3, 1]);
        let mib = 1024 * 1024;
        assert_eq!(lengths(0, vec![8 * mib, 8 * mib, 1, 20 * mib, 1, 2]), [2, 1, 1, 2]);
        assert_eq!(lengths(100, Vec::new()), Vec::<usize>::new());
    }

    #[tokio::test]
    async fn an_interrupt_ends_the_wait() {
        let mut pace = pace(1);
        assert_eq!(pace.turn(3_600).await, Turn::Go);
        pace.stop.cancel();
        assert_eq!(pace.turn(1).await, Turn::Stop);
    }
}
