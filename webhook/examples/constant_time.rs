//! Measures whether the time that verification takes tells where a signature differs, or which secret matched.
//!
//! In the manner of dudect (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017): two classes of requests
//! in random order, the time of each, the slowest tenth left out, Welch's t between the classes. Below 4.5 nothing was found
//! to tell them apart; far above it, something was. The last line compares byte by byte, on purpose, and must be found.
//!
//! No test: on a busy machine the numbers are noise. `cargo run --release -p webhook --example constant_time`.

use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use secrecy::SecretString;
use time::OffsetDateTime;
use webhook::provider::Catalogue;
use webhook::verification::{Headers, Incoming, Outgoing, Signer, Verifier};

/// Measurements of each class.
const SAMPLES: usize = 200_000;

/// Which of two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    First,
    Last,
}

/// Two requests that must take the same time.
struct Pair {
    what: String,
    verifier: Verifier,
    headers: [Vec<(String, String)>; 2],
    body: Vec<u8>,
    buffer: RefCell<Vec<(String, String)>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let pairs = [
        nothing_differs()?,
        wrong_at_either_end("github", "X-Hub-Signature-256", 7)?,
        wrong_at_either_end("shopify", "X-Shopify-Hmac-Sha256", 0)?,
        wrong_at_either_end("gitlab-token", "X-Gitlab-Token", 0)?,
        first_or_last_secret()?,
    ];
    for pair in &pairs {
        report(&mut out, &pair.what, &measure(|class| pair.verify(class))?)?;
    }
    let right = vec![b'a'; 64];
    let mut given = right.clone();
    // What must not be: it stops at the first difference.
    let naive = |class: Class| {
        given.copy_from_slice(&right);
        let wrong = if class == Class::First { given.first_mut() } else { given.last_mut() };
        wrong.into_iter().for_each(|byte| *byte = b'b');
        let started = Instant::now();
        black_box(black_box(&given).iter().zip(black_box(&right)).all(|(ours, theirs)| black_box(ours) == theirs));
        started.elapsed()
    };
    report(&mut out, "byte by byte, for comparison", &measure(naive)?)?;
    Ok(())
}

impl Pair {
    /// How long one of them takes. Both are written to the same memory first: where something lies has a time of its own.
    fn verify(&self, class: Class) -> Duration {
        let [first, last] = &self.headers;
        let mut buffer = self.buffer.borrow_mut();
        for ((_, value), (_, wanted)) in buffer.iter_mut().zip(if class == Class::First { first } else { last }) {
            value.clear();
            value.push_str(wanted);
        }
        let headers: Headers<'_> = buffer.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request =
            Incoming { headers: &headers, query: None, body: &self.body, received_at: OffsetDateTime::UNIX_EPOCH };
        let started = Instant::now();
        black_box(self.verifier.verify(black_box(request)).is_ok());
        started.elapsed()
    }
}

fn pair(what: String, verifier: Verifier, headers: [Vec<(String, String)>; 2], body: Vec<u8>) -> Pair {
    let [first, _] = &headers;
    let buffer = RefCell::new(first.clone());
    Pair { what, verifier, headers, body, buffer }
}

/// The same request twice: what the measurement itself makes of no difference.
fn nothing_differs() -> Result<Pair, Box<dyn Error>> {
    let (headers, body, verifier) = signed("github", "a secret of some length")?;
    Ok(pair("github: the same, the same".to_owned(), verifier, [headers.clone(), headers], body))
}

/// A signature, or token, that is wrong in its first byte against one that is wrong in its last.
fn wrong_at_either_end(provider: &str, header: &str, prefix: usize) -> Result<Pair, Box<dyn Error>> {
    let (right, body, verifier) = signed(provider, "a secret of some length")?;
    let wrong_at = |place: fn(usize, usize) -> usize| {
        let mut headers = right.clone();
        for (_, value) in headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case(header)) {
            let at = place(prefix, value.len());
            let other = if value.get(at..=at) == Some("a") { "b" } else { "a" };
            value.replace_range(at..=at, other);
        }
        headers
    };
    // Not the very end of a base64 text, which is padding and spare bits.
    let headers = [wrong_at(|prefix, _| prefix), wrong_at(|_, length| length - 3)];
    Ok(pair(format!("{provider}: wrong at its start, at its end"), verifier, headers, body))
}

/// A genuine request by the first of eight secrets against one by the last.
fn first_or_last_secret() -> Result<Pair, Box<dyn Error>> {
    let secrets: Vec<String> = (0..8).map(|number| format!("secret number {number}")).collect();
    let (first, body, _) = signed("github", "secret number 0")?;
    let (last, _, _) = signed("github", "secret number 7")?;
    let catalogue = Catalogue::built_in()?;
    let provider = catalogue.get("github").ok_or("no such provider")?;
    let verifier = Verifier::new(provider, secrets.into_iter().map(SecretString::from).collect::<Vec<_>>())?;
    Ok(pair("github: by the first of 8 secrets, by the last".to_owned(), verifier, [first, last], body))
}

/// Headers, a body, and who verifies them.
type Signed = (Vec<(String, String)>, Vec<u8>, Verifier);

fn signed(provider: &str, secret: &str) -> Result<Signed, Box<dyn Error>> {
    let catalogue = Catalogue::built_in()?;
    let provider = catalogue.get(provider).ok_or("no such provider")?;
    let body = br#"{"id":820982911946154508,"line_items":[]}"#;
    let outgoing = Outgoing { id: "id", topic: "topic", body, at: OffsetDateTime::UNIX_EPOCH };
    let signed = Signer::new(provider, SecretString::from(secret))?.sign(outgoing)?;
    let verifier = Verifier::new(provider, SecretString::from(secret))?;
    Ok((signed.headers, signed.body, verifier))
}

/// The times of two classes, in nanoseconds, taken in random order.
fn measure(mut take: impl FnMut(Class) -> Duration) -> Result<[Vec<f64>; 2], Box<dyn Error>> {
    let mut coins = vec![0; 2 * SAMPLES];
    SystemRandom::new().fill(&mut coins).map_err(|_unspecified| "no randomness")?;
    let mut times = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    let [of_first, of_last] = &mut times;
    for coin in coins {
        let (class, of) = if coin & 1 == 0 { (Class::First, &mut *of_first) } else { (Class::Last, &mut *of_last) };
        of.push(take(class).as_secs_f64() * 1e9);
    }
    Ok(times)
}

/// The means of both classes without what is slower than nine tenths of all, and Welch's t between them.
fn report(out: &mut impl io::Write, what: &str, times: &[Vec<f64>; 2]) -> io::Result<()> {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let limit = all.get(all.len() / 10 * 9).copied().unwrap_or(f64::MAX);
    let [(mean, spread), (other, other_spread)] = times.each_ref().map(|times| moments(times, limit));
    let t = (mean - other) / (spread + other_spread).sqrt();
    writeln!(out, "{what}: {mean:.1} ns, {other:.1} ns, t = {t:.2}")
}

/// The mean, and its variance, of what took no longer than `limit`.
#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^52")]
fn moments(times: &[f64], limit: f64) -> (f64, f64) {
    let kept: Vec<f64> = times.iter().copied().filter(|time| *time <= limit).collect();
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}
