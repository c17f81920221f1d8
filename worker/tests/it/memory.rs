//! A worker's memory does not depend on what waits for it.

use testing::orders::{Order, webhook};
use testing::{replace, run};

use crate::scene::{processed, quantity, quicken, stock, worker_with};

const MIB: usize = 1024 * 1024;
/// The largest bodies that a source may allow.
const BODY: usize = 8 * MIB;
const BODIES: u64 = 40;
/// What the worker may hold of them at once: one.
const IN_FLIGHT: usize = BODY;
/// Nine tenths of what waits. Besides what it holds, a worker has one batch as values of jq and as parameters, and
/// its connections keep buffers of the largest size that they have seen.
const BOUND: usize = 288 * MIB;

/// The body of an order's webhook, filled up with a note to the largest size.
fn large(order: &Order) -> Vec<u8> {
    let mut body = order.body();
    assert_eq!(body.pop(), Some(b'}'));
    body.extend_from_slice(b",\"note\":\"");
    let filling = BODY - body.len() - 2;
    body.extend(b"The quick brown fox jumps over the lazy dog, again. ".iter().cycle().take(filling));
    body.extend_from_slice(b"\"}");
    body
}

#[tokio::test]
async fn a_backlog_of_the_largest_bodies_is_taken_in_bounded_memory() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        for id in 1..=BODIES {
            let order = Order::of(id, "", &["MUG"]);
            stack.publish(&webhook(&format!("w{id}"), "orders/paid", large(&order))).await;
        }
        let config = stack.configure(|text| {
            let text = replace(&quicken(text), "max_body_bytes = 1048576", &format!("max_body_bytes = {BODY}"));
            replace(&text, "\nin_flight_bytes = 268435456", &format!("\nin_flight_bytes = {IN_FLIGHT}"))
        });
        let worker = worker_with(&stack, &config).await;
        processed(&stack, i64::try_from(BODIES).unwrap()).await;
        assert_eq!(quantity(&stack, "MUG").await, 1000 - i64::try_from(BODIES).unwrap());
        let peak = worker.peak_memory();
        assert!(peak < BOUND as u64, "{} MiB of memory at the peak", peak / MIB as u64);
        assert!(worker.terminate().await.success());
    })
    .await;
}
