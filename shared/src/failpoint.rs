//! Named places where the fault suite may end, fail or exhaust a process in mid-step.
//!
//! `FAILPOINTS` in the environment says where and how, separated by commas:
//!
//! ```text
//! worker.after-commit=kill@37     at the 37th time that the place is reached
//! spool.rename=fail@2             an I/O error, where the place can fail
//! worker.plan~oom-=exhaust        each time that its subject begins with "oom-"
//! ```
//!
//! Builds without debug assertions have no failpoints: the functions are empty and the variable is not read.

/// Reaches a place that can only end the process or panic.
#[inline]
pub fn reach(place: &str) {
    #[cfg(debug_assertions)]
    let _nothing_to_fail = armed::reach(place, "");
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// Reaches a place on behalf of a subject, such as a webhook's id.
#[inline]
pub fn reach_for(place: &str, subject: &str) {
    #[cfg(debug_assertions)]
    let _nothing_to_fail = armed::reach(place, subject);
    #[cfg(not(debug_assertions))]
    let _ = (place, subject);
}

/// Reaches a place that may also fail.
///
/// # Errors
/// When `FAILPOINTS` says so, and never otherwise.
#[inline]
pub fn check(place: &str) -> std::io::Result<()> {
    check_for(place, "")
}

/// Reaches a place that may also fail, on behalf of a subject, such as a file's name.
///
/// # Errors
/// When `FAILPOINTS` says so, and never otherwise.
#[inline]
pub fn check_for(place: &str, subject: &str) -> std::io::Result<()> {
    #[cfg(debug_assertions)]
    if armed::reach(place, subject) == armed::Passage::Fails {
        return Err(std::io::Error::other(format!("failpoint {place}")));
    }
    #[cfg(not(debug_assertions))]
    let _ = (place, subject);
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    static POINTS: LazyLock<Vec<Point>> =
        LazyLock::new(|| parse(&std::env::var("FAILPOINTS").unwrap_or_default()).unwrap_or_else(|text| refuse(&text)));

    /// What happens at a place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Kill,
        Abort,
        Panic,
        Exhaust,
        Fail,
    }

    /// When it happens.
    #[derive(Debug)]
    enum When {
        /// At the n-th pass, and never again.
        Pass { nth: u64, passed: AtomicU64 },
        /// At each pass for a subject that begins so.
        Subject(String),
    }

    #[derive(Debug)]
    struct Point {
        place: String,
        action: Action,
        when: When,
    }

    /// How the process comes out of a place, if it does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Passage {
        Unharmed,
        Fails,
    }

    pub(super) fn reach(place: &str, subject: &str) -> Passage {
        match action(&POINTS, place, subject) {
            None => Passage::Unharmed,
            Some(Action::Fail) => Passage::Fails,
            Some(Action::Kill) => {
                // SIGKILL to oneself is delivered before kill(2) returns, if it can be sent at all.
                let sent = kill(Pid::this(), Signal::SIGKILL);
                tracing::error!(?sent, place, "the process outlived its own SIGKILL");
                std::process::abort();
            }
            Some(Action::Abort) => std::process::abort(),
            Some(Action::Exhaust) => exhaust(),
            #[allow(clippy::panic, reason = "this is what the failpoint is for")]
            Some(Action::Panic) => panic!("failpoint {place}"),
        }
    }

    /// Takes memory until there is none: with a limit on the process, that ends it.
    fn exhaust() -> ! {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        loop {
            hoard.push(vec![1; 16 << 20]);
        }
    }

    fn action(points: &[Point], place: &str, subject: &str) -> Option<Action> {
        points.iter().filter(|point| point.place == place).find(|point| point.when.is_now(subject)).map(|p| p.action)
    }

    impl When {
        fn is_now(&self, subject: &str) -> bool {
            match self {
                Self::Pass { nth, passed } => passed.fetch_add(1, Ordering::Relaxed) + 1 == *nth,
                Self::Subject(beginning) => subject.starts_with(beginning.as_str()),
            }
        }
    }

    fn parse(text: &str) -> Result<Vec<Point>, String> {
        text.split(',').filter(|part| !part.is_empty()).map(|part| point(part).ok_or_else(|| part.to_owned())).collect()
    }

    fn point(text: &str) -> Option<Point> {
        let (place, deed) = text.split_once('=')?;
        let (deed, nth) = deed.split_once('@').map_or((deed, None), |(deed, nth)| (deed, Some(nth)));
        let action = match deed {
            "kill" => Action::Kill,
            "abort" => Action::Abort,
            "panic" => Action::Panic,
            "exhaust" => Action::Exhaust,
            "fail" => Action::Fail,
            _ => return None,
        };
        let (place, when) = match (place.split_once('~'), nth) {
            (Some((place, beginning)), None) => (place, When::Subject(beginning.to_owned())),
            (None, Some(nth)) => (place, When::Pass { nth: nth.parse().ok()?, passed: AtomicU64::new(0) }),
            _ => return None,
        };
        Some(Point { place: place.to_owned(), action, when })
    }

    fn refuse(text: &str) -> Vec<Point> {
        // A fault that is misspelt and never happens would prove what it did not try.
        tracing::error!(text, "FAILPOINTS cannot be read: PLACE=ACTION@N or PLACE~SUBJECT=ACTION");
        std::process::abort();
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_acts_at_its_pass_only_and_for_its_subject_always() {
            let points = parse("a=kill@2,b~oom-=exhaust,a=fail@4").unwrap();
            let passes: Vec<_> = (0..5).map(|_| action(&points, "a", "")).collect();
            assert_eq!(passes, [None, Some(Action::Kill), None, None, Some(Action::Fail)]);
            assert_eq!(action(&points, "b", "oom-1"), Some(Action::Exhaust));
            assert_eq!(action(&points, "b", "order-1"), None);
            assert_eq!(action(&points, "c", ""), None);
        }

        #[test]
        fn what_cannot_be_read_is_refused() {
            for text in ["a", "a=kill", "a=explode@1", "a=kill@x", "a~s=kill@1"] {
                assert!(parse(text).is_err(), "{text}");
            }
        }
    }
}
