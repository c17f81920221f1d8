//! A check that cannot fail is no check: each finding is provoked once, by a forged run.

use std::time::Instant;

use super::*;
use crate::history::Answer;
use crate::shop::{Mix, Shop, Webhook};

/// A run in which everything went well.
struct Run {
    webhooks: Vec<Webhook>,
    history: History,
    books: Books,
    mails: Arrived,
    calls: Arrived,
    residue: BTreeMap<String, u64>,
    destroyed: Option<Destroyed>,
    doubts: Doubts,
}

fn right() -> Run {
    let mut shop = Shop::new("run.example", "hush", [1, 0], Mix::default());
    let webhooks: Vec<Webhook> = (0..50).map(|_| shop.next_webhook()).collect();
    let (mut history, mut books) = (History::default(), Books::default());
    let (mut mails, mut calls) = (Arrived::new(), Arrived::new());
    books.taken = Shop::skus().map(|sku| (sku, 0)).collect();
    let mut orders = BTreeSet::new();
    for webhook in &webhooks {
        history.sends(webhook);
        history.hears(webhook, Answer::Status(200), Instant::now());
        books.processed.insert(webhook.id.clone());
        books.bodies.insert(webhook.id.clone(), webhook.body.to_vec());
        let order = &webhook.order;
        if orders.insert(order.id.clone()) {
            for line in &order.lines {
                books.ledger.push((order.id.clone(), line.id.clone(), line.sku.clone(), -line.quantity));
                *books.taken.get_mut(&line.sku).unwrap() += line.quantity;
            }
            for effect in ["order-confirmation", "tell-warehouse"] {
                let key = format!("{effect}/shopify/{}", order.id);
                books.outbox.push(OutboxRow { key, state: "sent".to_owned(), ambiguous: false });
            }
            calls.entry(order.id.clone()).or_default().insert(format!("{}-key", order.id), 1);
            mails.entry(order.email.clone()).or_default().insert(format!("{}@id", order.id), 1);
        }
    }
    Run { webhooks, history, books, mails, calls, residue: BTreeMap::new(), destroyed: None, doubts: Doubts::Any }
}

impl Run {
    fn findings(&self) -> Findings {
        let Self { history, books, mails, calls, residue, destroyed, doubts, .. } = self;
        let (destroyed, doubts, may_park) = (*destroyed, *doubts, &["poison-"]);
        check(&Evidence { history, books, mails, calls, residue, destroyed, may_park, doubts })
    }

    /// The first order's address and its row of the outbox.
    fn first_mail(&mut self) -> (String, &mut OutboxRow) {
        (self.webhooks[0].order.email.clone(), &mut self.books.outbox[0])
    }
}

#[test]
fn a_run_that_went_well_is_right() {
    let findings = right().findings();
    assert!(findings.is_right(), "{findings:?}");
    assert_eq!(findings, Findings::default());
}

#[test]
fn an_accepted_webhook_that_is_nowhere_is_lost() {
    let mut run = right();
    let id = run.webhooks[3].id.clone();
    run.books.processed.remove(&id);
    assert_eq!(run.findings().lost, std::slice::from_ref(&id));
    run.books.parked.insert(id, "unknown-sku".to_owned());
    assert_eq!(run.findings().lost, [""; 0]);
    assert_eq!(run.findings().parked_without_reason.len(), 1);
}

#[test]
fn what_a_destroyed_queue_held_is_not_lost_but_what_was_accepted_later_is() {
    let mut run = right();
    run.destroyed = Some(Destroyed { at: Instant::now(), at_most: 1 });
    let late = { Shop::new("run.example", "hush", [2, 1], Mix::default()).next_webhook() };
    run.history.sends(&late);
    run.history.hears(&late, Answer::Status(200), Instant::now());
    let early = run.webhooks[3].id.clone();
    run.books.processed.remove(&early);
    let findings = run.findings();
    assert_eq!((findings.destroyed, findings.lost), (vec![early], vec![late.id.clone()]));
    let another = run.webhooks.iter().map(|webhook| &webhook.id).find(|id| run.books.processed.contains(*id)).cloned();
    run.books.processed.remove(&another.unwrap());
    assert_eq!(run.findings().lost.len(), 3, "more than the queue held");
}

#[test]
fn a_body_that_is_not_kept_as_it_was_sent_is_altered() {
    let mut run = right();
    let [first, second] = [0, 1].map(|index| run.webhooks[index].id.clone());
    run.books.bodies.get_mut(&first).unwrap()[7] ^= 1;
    run.books.bodies.remove(&second);
    assert_eq!(run.findings().altered.len(), 2);
}

#[test]
fn what_is_processed_does_not_wait_for_a_person() {
    let mut run = right();
    let id = run.webhooks[0].id.clone();
    run.books.parked.insert(id.clone(), "plan".to_owned());
    assert_eq!(run.findings().processed_and_parked, [id]);
}

#[test]
fn sends_in_doubt_are_bounded_by_what_the_fault_explains() {
    let mut run = right();
    for row in &mut run.books.outbox {
        row.ambiguous = true;
    }
    assert!(run.findings().is_right());
    run.doubts = Doubts::Some;
    assert_eq!(run.findings().too_many_in_doubt.len(), run.books.outbox.len());
    for row in run.books.outbox.iter_mut().skip(1) {
        row.ambiguous = false;
    }
    run.doubts = Doubts::Hardly;
    assert_eq!((run.findings().in_doubt.len(), run.findings().is_right()), (1, true));
    run.books.outbox[2].state = "held".to_owned();
    run.books.outbox[4].state = "failed".to_owned();
    assert_eq!(run.findings().too_many_in_doubt.len(), 3);
}

#[test]
fn a_webhook_that_was_never_accepted_is_found() {
    let mut run = right();
    let refused = Shop::new("run.example", "hush", [2, 1], Mix::default()).next_webhook();
    run.history.sends(&refused);
    run.history.hears(&refused, Answer::Status(503), Instant::now());
    run.history.hears(&refused, Answer::None, Instant::now());
    assert_eq!(run.findings().never_accepted, [refused.id]);
    assert_eq!((run.history.answered_otherwise(), run.history.unanswered()), (1, 1));
}

#[test]
fn stock_that_was_taken_twice_is_off_and_a_line_of_another_sku_is_doubled() {
    let mut run = right();
    let (sku, quantity) = (run.books.ledger[0].2.clone(), -run.books.ledger[0].3);
    *run.books.taken.get_mut(&sku).unwrap() += quantity;
    assert_eq!(run.findings().stock_off.len(), 1);
    run.books.ledger[0].3 -= 1;
    run.books.ledger.push(("7000000000001".to_owned(), "another".to_owned(), sku, -1));
    assert_eq!(run.findings().doubled.len(), 2);
}

#[test]
fn an_order_without_its_lines_or_its_mail_is_missing() {
    let mut run = right();
    run.books.ledger.remove(0);
    let (email, _) = run.first_mail();
    run.mails.remove(&email);
    assert_eq!(run.findings().missing.len(), 2);
}

#[test]
fn a_second_copy_of_a_mail_counts_as_doubled_unless_its_row_is_ambiguous() {
    let mut run = right();
    let (email, _) = run.first_mail();
    *run.mails.get_mut(&email).unwrap().values_mut().next().unwrap() = 2;
    assert_eq!(run.findings().doubled.len(), 1);
    run.first_mail().1.ambiguous = true;
    assert_eq!((run.findings().doubled.len(), run.findings().ambiguous_mails), (0, 1));
    run.mails.get_mut(&email).unwrap().insert("another@id".to_owned(), 1);
    assert_eq!(run.findings().doubled.len(), 1, "another Message-ID is no copy");
}

#[test]
fn a_call_is_held_to_the_same_rule() {
    let mut run = right();
    let order = run.webhooks[0].order.id.clone();
    *run.calls.get_mut(&order).unwrap().values_mut().next().unwrap() = 3;
    assert_eq!(run.findings().doubled.len(), 1);
    run.books.outbox[1].ambiguous = true;
    assert_eq!((run.findings().doubled.len(), run.findings().ambiguous_calls), (0, 2));
    run.calls.remove(&order);
    assert_eq!(run.findings().missing, [format!("call to {order}")]);
    run.books.outbox[1].state = "held".to_owned();
    assert!(run.findings().is_right());
}

#[test]
fn effects_of_what_was_never_sent_and_residue_are_found() {
    let mut run = right();
    run.books.processed.insert("never-sent".to_owned());
    run.mails.entry("stranger@run.example".to_owned()).or_default().insert("x@id".to_owned(), 1);
    run.residue.insert("webhooks.dead".to_owned(), 2);
    let findings = run.findings();
    assert_eq!((findings.invented.len(), findings.residue.as_slice()), (2, ["webhooks.dead: 2".to_owned()].as_slice()));
    assert!(!findings.is_right());
}
