//! The webhooks of a simulated world: good ones, and each way in which one can be bad.

use bytes::Bytes;
use shared::config::{AmbiguousPolicy, UnknownSku};
use shared::db::parked_webhooks::ParkReason;
use shared::message::{Message, sha256};
use shared::name::Name;
use shared::plan::{Decrement, Email, Letter, Plan};
use testing::simulation::Random;
use time::OffsetDateTime;

/// What a webhook is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    /// No route takes it.
    Skipped,
    /// It sells what `inventory` never has.
    UnknownSku,
    /// It sells what `inventory` has not yet.
    Early,
    /// Postgres refuses one of its values.
    Refused,
    /// Its mapping fails.
    Unplannable,
    /// Planning it panics.
    Panics,
    /// Its transaction fails a few times, for no reason that we know.
    Flaky,
    /// Its transaction always takes too long.
    Slow,
    /// It ends whoever plans it.
    Beast,
    /// It was received longer ago than ids are kept.
    Old,
    /// Its envelope cannot be read.
    Unreadable,
}

const BAD: [Kind; 11] = [
    Kind::Skipped,
    Kind::UnknownSku,
    Kind::Early,
    Kind::Refused,
    Kind::Unplannable,
    Kind::Panics,
    Kind::Flaky,
    Kind::Slow,
    Kind::Beast,
    Kind::Old,
    Kind::Unreadable,
];

/// A SKU that is not there until somebody adds it.
pub(super) const LATE: &str = "LATE";
/// A SKU that is never there.
pub(super) const NONE: &str = "NONE";
/// A text that Postgres refuses.
pub(super) const NUL: &str = "\0";
/// A SKU whose transactions fail a few times.
pub(super) const FLAKY: &str = "FLAKY";
/// A SKU whose transactions always take too long.
pub(super) const SLOW: &str = "SLOW";
/// SKUs in stock.
pub(super) const SKUS: [&str; 3] = ["APE", "BEE", FLAKY];

/// One webhook.
#[derive(Debug, Clone, Copy)]
pub(super) struct Webhook {
    pub(super) kind: Kind,
    /// What it is about; several webhooks may be about one order.
    pub(super) order: u64,
    /// Whether its provider sends it with another body at times.
    pub(super) changes: bool,
    body_bytes: usize,
}

impl Webhook {
    /// Mostly of one kind, or good.
    pub(super) fn any(random: &mut Random, theme: Kind, orders: u64) -> Self {
        let kind = match random.below(9) {
            0..3 => theme,
            3..5 => *random.pick(&BAD),
            _ => Kind::Good,
        };
        // Webhooks about one order are alike, so that what is sold does not depend on which is first.
        let order = if kind == Kind::Good { random.below(orders) } else { orders + random.below(1 << 40) };
        Self { kind, order, changes: random.once_in(10), body_bytes: random.index(60) }
    }

    /// Reasons for which it may be parked at last.
    pub(super) fn may_park_for(&self, reason: ParkReason) -> bool {
        match reason {
            // A crash burns the deliveries of whoever is near.
            ParkReason::DeadLettered => true,
            ParkReason::ChangedBody => self.changes,
            ParkReason::UnknownSku => matches!(self.kind, Kind::UnknownSku | Kind::Early),
            ParkReason::Data => self.kind == Kind::Refused,
            ParkReason::Plan => self.kind == Kind::Unplannable,
            ParkReason::RetriesExhausted => matches!(self.kind, Kind::Panics | Kind::Flaky | Kind::Slow),
            ParkReason::TooOld => self.kind == Kind::Old,
            ParkReason::Unreadable => self.kind == Kind::Unreadable,
        }
    }

    /// Whether it can ever be processed.
    pub(super) fn may_succeed(&self) -> bool {
        matches!(self.kind, Kind::Good | Kind::Skipped | Kind::Early | Kind::Flaky)
    }

    /// Its message, with its own body or another one.
    pub(super) fn message(&self, number: u64, changed: bool) -> Message {
        let now = OffsetDateTime::now_utc();
        let received_at = if self.kind == Kind::Old { OffsetDateTime::UNIX_EPOCH } else { now };
        Message {
            source: shop(),
            provider: shop(),
            id: format!("w{number}"),
            topic: "t".to_owned(),
            received_at,
            content_type: None,
            headers: Vec::new(),
            body_sha256: sha256(&[u8::from(changed)]),
            attempt: 0,
            traceparent: None,
            steering: None,
            body: Bytes::from_static(&[0; 60]).slice(..self.body_bytes),
        }
    }

    /// What it wants done.
    pub(super) fn plan(&self) -> Plan {
        let line = |number: u64, sku: &str| Decrement {
            effect: shop(),
            order: format!("o{}", self.order),
            line: format!("l{number}"),
            sku: sku.to_owned(),
            quantity: i64::try_from(number + 1).unwrap(),
            unknown_sku: UnknownSku::Park,
        };
        let skus: &[&str] = match self.kind {
            Kind::Skipped => return Plan::default(),
            Kind::UnknownSku => &[NONE],
            Kind::Early => &[LATE],
            Kind::Refused => &[NUL],
            Kind::Flaky => &[FLAKY],
            Kind::Slow => &[SLOW],
            _ if self.order.is_multiple_of(2) => &SKUS[..2],
            _ => &SKUS[..1],
        };
        let email = Email {
            effect: shop(),
            dedupe_key: format!("o{}", self.order),
            letter: Letter { to: String::new(), subject: String::new(), text: String::new() },
            on_ambiguous: AmbiguousPolicy::Resend,
        };
        Plan {
            routed: true,
            decrements: (0..).zip(skus).map(|(number, sku)| line(number, sku)).collect(),
            emails: vec![email],
            ..Plan::default()
        }
    }
}

pub(super) fn shop() -> Name {
    Name::try_from("shop").unwrap()
}

/// The number in `w17`, `o17` or `l17`.
pub(super) fn number(text: &str) -> u64 {
    text[1..].parse().unwrap()
}
