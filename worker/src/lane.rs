//! What a lane decides of its deliveries: which are processed and which are isolated, what a verdict
//! means, and what may be acknowledged when.
//!
//! Pure, and without AMQP types: `A` is whatever acknowledges a delivery. The consumer does what the
//! [`Desk`] says; the simulation does the same with a broker of its own.
//!
//! Invariant: a delivery is acknowledged only after a verdict that it is settled, or after its move
//! to another queue is confirmed. Nothing else is acknowledged along with it.

use std::time::Duration;

use shared::message::Message;

use crate::batch::{Arrival, Verdict};

/// Which queue a consumer takes from, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The work queue, in batches.
    Work,
    /// The same for webhooks that came several in one body.
    Elements,
    /// Messages that were delivered too often, one at a time: the innocent pass, and poison
    /// reaches the broker's delivery limit.
    Suspect,
    /// What the broker gave up; it is parked unread.
    Dead,
}

impl Lane {
    /// Whether it takes whatever has arrived, and not one message at a time.
    pub(crate) fn takes_batches(self) -> bool {
        matches!(self, Self::Work | Self::Elements)
    }
}

/// A delivery as it was taken.
#[derive(Debug)]
pub(crate) struct Taken<A> {
    pub(crate) acker: A,
    pub(crate) arrival: Arrival,
    /// How often its queue had delivered it before.
    pub(crate) deliveries: i64,
}

/// A delivery that is being processed.
#[derive(Debug)]
pub(crate) struct Held<A> {
    acker: A,
    message: Message,
}

#[cfg(test)]
impl<A> Held<A> {
    pub(crate) fn acker(&self) -> &A {
        &self.acker
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }
}

/// A delivery to be published elsewhere first, and then acknowledged: [`Desk::moved`].
#[derive(Debug)]
pub(crate) struct Move<A> {
    pub(crate) acker: A,
    pub(crate) message: Message,
    pub(crate) to: Destination,
}

/// A delivery whose webhooks are to be published first, each by itself, and which is then acknowledged:
/// [`Desk::moved`].
#[derive(Debug)]
pub(crate) struct Scatter<A> {
    pub(crate) acker: A,
    pub(crate) messages: Vec<Message>,
}

/// Where a message moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Where it is run alone.
    Suspects,
    /// The retry ladder's queue of this delay.
    Ladder(Duration),
}

/// What to say to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack<A> {
    /// This delivery, and every earlier one of its channel.
    UpTo(A),
    /// This delivery.
    One(A),
}

/// What was taken, sorted: what to process, and what to isolate.
#[derive(Debug)]
pub(crate) struct Sorted<A> {
    /// To be handed back with their verdicts: [`Desk::settle`].
    pub(crate) held: Vec<Held<A>>,
    /// Of what is held, in its order.
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) isolated: Vec<Move<A>>,
}

/// What to do with what was processed.
#[derive(Debug)]
pub(crate) struct Settled<A> {
    pub(crate) acks: Vec<Ack<A>>,
    pub(crate) moves: Vec<Move<A>>,
    pub(crate) scatters: Vec<Scatter<A>>,
}

/// Which deliveries of a lane are isolated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sorter {
    pub(crate) lane: Lane,
    /// A message that was delivered as often is isolated.
    pub(crate) suspect_after: i64,
}

impl Sorter {
    /// Sorts a batch.
    pub(crate) fn sort<A>(self, taken: Vec<Taken<A>>) -> Sorted<A> {
        let mut sorted = Sorted { held: Vec::with_capacity(taken.len()), arrivals: Vec::new(), isolated: Vec::new() };
        for Taken { acker, arrival, deliveries } in taken {
            if self.is_suspect(&arrival, deliveries) {
                sorted.isolated.push(Move { acker, message: arrival.message, to: Destination::Suspects });
            } else {
                sorted.held.push(Held { acker, message: arrival.message.clone() });
                sorted.arrivals.push(arrival);
            }
        }
        sorted
    }

    /// A crash burns the delivery count of every prefetched neighbour alike; so what was delivered
    /// often is not judged, it is run alone. What cannot be read is parked anyway, unplanned.
    fn is_suspect(self, arrival: &Arrival, deliveries: i64) -> bool {
        self.lane.takes_batches() && arrival.defect.is_none() && deliveries >= self.suspect_after
    }
}

/// The deliveries of one channel. Batches are handed in in the order of delivery, one after the
/// other.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Moves that are not confirmed: their deliveries are open.
    moving: usize,
}

impl Desk {
    /// These deliveries of the next batch begin to move.
    pub(crate) fn isolate<A>(&mut self, isolated: &[Move<A>]) {
        self.moving += isolated.len();
    }

    /// Settles a batch by its verdicts, which are in its order.
    pub(crate) fn settle<A>(&mut self, held: Vec<Held<A>>, verdicts: Vec<Verdict>) -> Settled<A> {
        let (mut settled, mut moves, mut scatters) = (Vec::with_capacity(held.len()), Vec::new(), Vec::new());
        for (Held { acker, mut message }, verdict) in held.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Ack => settled.push(acker),
                Verdict::Retry(delay) => {
                    message.attempt = message.attempt.saturating_add(1);
                    moves.push(Move { acker, message, to: Destination::Ladder(delay) });
                }
                Verdict::Scatter(messages) => scatters.push(Scatter { acker, messages }),
            }
        }
        self.moving += moves.len() + scatters.len();
        Settled { acks: self.acknowledge(settled), moves, scatters }
    }

    /// In one word where nothing earlier is open, else one by one.
    fn acknowledge<A>(&self, mut settled: Vec<A>) -> Vec<Ack<A>> {
        if self.moving > 0 {
            return settled.into_iter().map(Ack::One).collect();
        }
        settled.pop().map(Ack::UpTo).into_iter().collect()
    }

    /// A move is confirmed.
    pub(crate) fn moved<A>(&mut self, acker: A) -> Ack<A> {
        self.moving = self.moving.saturating_sub(1);
        Ack::One(acker)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::message;
    use shared::name::Name;
    use time::OffsetDateTime;

    use super::*;
    use crate::batch::Defect;

    const SORTER: Sorter = Sorter { lane: Lane::Work, suspect_after: 3 };

    fn taken(acker: u64, deliveries: i64, defect: Option<Defect>) -> Taken<u64> {
        let message = Message {
            source: Name::try_from("shopify").unwrap(),
            provider: Name::try_from("shopify").unwrap(),
            id: format!("w{acker}"),
            topic: "orders/paid".to_owned(),
            received_at: OffsetDateTime::UNIX_EPOCH,
            content_type: None,
            headers: Vec::new(),
            body_sha256: message::sha256(b""),
            attempt: 1,
            traceparent: None,
            steering: None,
            body: Bytes::new(),
        };
        Taken { acker, arrival: Arrival { message, defect }, deliveries }
    }

    #[test]
    fn one_word_acknowledges_a_batch_and_single_words_while_a_move_is_open() {
        let mut desk = Desk::default();
        let verdicts = |retried: bool| {
            let second = if retried { Verdict::Retry(Duration::from_secs(5)) } else { Verdict::Ack };
            vec![Verdict::Ack, second, Verdict::Ack]
        };
        let batch = |first: u64| SORTER.sort((first..first + 3).map(|acker| taken(acker, 0, None)).collect());
        let held = batch(1).held;
        let settled = desk.settle(held, verdicts(false));
        assert_eq!(settled.acks, [Ack::UpTo(3)]);

        let held = batch(4).held;
        let settled = desk.settle(held, verdicts(true));
        assert_eq!(settled.acks, [Ack::One(4), Ack::One(6)]);
        assert_eq!((settled.moves[0].acker, settled.moves[0].message.attempt), (5, 2));
        assert_eq!(settled.moves[0].to, Destination::Ladder(Duration::from_secs(5)));

        let held = batch(7).held;
        assert_eq!(desk.moved(5), Ack::One(5));
        assert_eq!(desk.settle(held, verdicts(false)).acks, [Ack::UpTo(9)]);
        assert_eq!(desk.settle(Vec::<Held<u64>>::new(), Vec::new()).acks, []);
    }

    #[test]
    fn what_was_delivered_often_is_isolated_unless_it_is_unreadable_or_alone() {
        let sort = |lane, taken| {
            let sorted = Sorter { lane, ..SORTER }.sort(vec![taken]);
            (sorted.held.len(), sorted.isolated.len())
        };
        assert_eq!(sort(Lane::Work, taken(1, 2, None)), (1, 0));
        assert_eq!(sort(Lane::Work, taken(1, 3, None)), (0, 1));
        assert_eq!(sort(Lane::Work, taken(1, 3, Some(Defect::DeadLettered))), (1, 0));
        assert_eq!(sort(Lane::Suspect, taken(1, 3, None)), (1, 0));
    }

    #[test]
    fn an_isolated_delivery_is_open_until_it_has_moved() {
        let mut desk = Desk::default();
        let sorted = SORTER.sort(vec![taken(1, 3, None), taken(2, 0, None)]);
        desk.isolate(&sorted.isolated);
        assert_eq!(sorted.isolated[0].to, Destination::Suspects);
        assert_eq!(sorted.isolated[0].message.attempt, 1, "to be run alone is no failed attempt");
        assert_eq!(desk.settle(sorted.held, vec![Verdict::Ack]).acks, [Ack::One(2)]);
    }
}
