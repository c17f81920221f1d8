//! Limits how often somebody may show a wrong token.
//!
//! Counted by address and altogether, since the beginning of a minute. Only wrong tokens count, so whoever has a right
//! one is kept out by nobody behind another address. Bounded: of more addresses than fit, all share one count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long wrong tokens are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Wrong tokens from one address.
const MAX_OF_ONE: u32 = 10;
/// Addresses that are told apart.
const MAX_ADDRESSES: usize = 4_096;

/// Wrong tokens of this minute.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    wrong: HashMap<IpAddr, Count>,
    /// Of those who did not fit.
    others: Count,
}

#[derive(Debug, Default)]
struct Count {
    wrong: u32,
    /// Whether one of them is in the audit.
    is_told: bool,
}

impl Attempts {
    /// Whether an address may show a token now.
    pub(crate) fn may_try(&self, address: IpAddr) -> bool {
        self.with(Instant::now(), |window| window.count(address).wrong < MAX_OF_ONE)
    }

    /// A token was wrong; `false` when others of its address came first and it was one too many. To be called before
    /// anything is waited for: what is not counted yet stops nobody.
    pub(crate) fn wrong(&self, address: IpAddr) -> bool {
        self.with(Instant::now(), |window| {
            let count = window.count(address);
            count.wrong = count.wrong.saturating_add(1);
            count.wrong <= MAX_OF_ONE
        })
    }

    /// Whether this is the first of an address to be told of in this window.
    pub(crate) fn is_first_told(&self, address: IpAddr) -> bool {
        self.with(Instant::now(), |window| !std::mem::replace(&mut window.count(address).is_told, true))
    }

    /// What [`Attempts::is_first_told`] was asked for could not be done: the next one is the first.
    pub(crate) fn was_not_told(&self, address: IpAddr) {
        self.with(Instant::now(), |window| window.count(address).is_told = false);
    }

    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            *window = Window { began: Some(now), ..Window::default() };
        }
        act(&mut window)
    }
}

impl Window {
    fn count(&mut self, address: IpAddr) -> &mut Count {
        if self.wrong.len() >= MAX_ADDRESSES && !self.wrong.contains_key(&address) {
            return &mut self.others;
        }
        self.wrong.entry(address).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_stopped_for_the_rest_of_its_minute_and_no_other_is() {
        let attempts = Attempts::default();
        let (guesser, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..MAX_OF_ONE {
            assert!(attempts.may_try(guesser) && attempts.wrong(guesser));
        }
        assert!(!attempts.may_try(guesser) && !attempts.wrong(guesser));
        assert!(attempts.is_first_told(guesser) && !attempts.is_first_told(guesser));
        attempts.was_not_told(guesser);
        assert!(attempts.is_first_told(guesser), "it could not be written down");
        assert!(attempts.may_try(other));
        assert!(attempts.with(Instant::now() + WINDOW, |window| window.count(guesser).wrong < MAX_OF_ONE));
    }

    #[test]
    fn more_addresses_than_fit_share_a_count() {
        let mut window = Window::default();
        for address in 0..u32::try_from(MAX_ADDRESSES).unwrap() {
            window.count(IpAddr::V4(address.into())).wrong += 1;
        }
        window.count([255, 0, 0, 1].into()).wrong += 1;
        window.count([255, 0, 0, 2].into()).wrong += 1;
        assert_eq!((window.wrong.len(), window.others.wrong), (MAX_ADDRESSES, 2));
    }
}
