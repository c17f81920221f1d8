//! The law of once: any interleaving of duplicates and of orders under several ids, in batches of
//! any size, by any number of workers, gives the same inventory and mails as the model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testing::orders::Order;
use testing::{replace, run};

use crate::scene::{assert_no_drift, number, processed, quicken, stock, worker_with};

const SKUS: [&str; 5] = ["APE", "BEE", "CAT", "DOG", "EMU"];
/// Cases in one test run; each has orders of its own in one database.
const CASES: u64 = 12;

/// One delivery: which order, and under which of its webhook ids.
type Delivery = (usize, u8);

#[derive(Debug, Clone)]
struct Case {
    /// SKUs (by index; none for a tip) and quantities of each order.
    orders: Vec<Vec<(Option<usize>, i64)>>,
    deliveries: Vec<Delivery>,
    batch_size: usize,
    workers: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let line = (proptest::option::weighted(0.9, 0..SKUS.len()), 0i64..4);
    let orders = proptest::collection::vec(proptest::collection::vec(line, 0..5), 1..25);
    (orders, prop_oneof![Just(1usize), 2usize..8, Just(100)], 1usize..4).prop_flat_map(
        |(orders, batch_size, workers)| {
            let delivery = (0..orders.len(), 0u8..3);
            proptest::collection::vec(delivery, 1..120).prop_map(move |deliveries| Case {
                orders: orders.clone(),
                deliveries,
                batch_size,
                workers,
            })
        },
    )
}

/// What must be left, and how many webhooks and mails there must be.
#[derive(Default)]
struct Model {
    sold: BTreeMap<usize, i64>,
    webhooks: BTreeSet<(u64, u8)>,
    orders: BTreeSet<u64>,
}

impl Model {
    fn deliver(&mut self, order_id: u64, webhook: u8, lines: &[(Option<usize>, i64)]) {
        self.webhooks.insert((order_id, webhook));
        if self.orders.insert(order_id) {
            for (sku, quantity) in lines {
                if let Some(sku) = sku {
                    *self.sold.entry(*sku).or_default() += quantity;
                }
            }
        }
    }
}

#[tokio::test]
async fn any_interleaving_gives_the_inventory_of_the_model() {
    let seed: u64 = std::env::var("LAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() % i128::from(u32::MAX)).unwrap()
    });
    println!("LAW_SEED={seed}");
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let cases: Vec<Case> = (0..CASES).map(|_| case().new_tree(&mut runner).unwrap().current()).collect();
    run(async move |stack| {
        stock(&stack, &SKUS).await;
        let mut model = Model::default();
        for (number, case) in cases.iter().enumerate() {
            deliver_case(&stack, number, case, &mut model).await;
        }
        let client = stack.database.client().await;
        for (index, sku) in SKUS.iter().enumerate() {
            let left: i64 =
                client.query_one("SELECT quantity FROM inventory WHERE sku = $1", &[sku]).await.unwrap().get(0);
            assert_eq!(left, 1000 - model.sold.get(&index).copied().unwrap_or(0), "{sku}");
        }
        assert_no_drift(&stack).await;
        number_of_mails(&stack, &model).await;
    })
    .await;
}

async fn deliver_case(stack: &testing::Stack, number: usize, case: &Case, model: &mut Model) {
    let batch_size = format!("batch_size = {}", case.batch_size);
    let config = stack.configure(|text| replace(&quicken(text), "batch_size = 100", &batch_size));
    let mut workers = Vec::new();
    for _ in 0..case.workers {
        workers.push(worker_with(stack, &config).await);
    }
    let before = model.webhooks.len();
    for (order, webhook) in &case.deliveries {
        let id = u64::try_from(number * 1000 + order).unwrap();
        let lines = case.orders[*order].iter().map(|(sku, quantity)| (sku.map(|sku| SKUS[sku].to_owned()), *quantity));
        let email = Some(format!("order-{id}@{}", stack.mail_domain));
        let body = Order { id, email, lines: lines.collect(), test: false };
        stack.publish(&body.webhook(&format!("{id}-{webhook}"))).await;
        model.deliver(id, *webhook, &case.orders[*order]);
    }
    processed(stack, i64::try_from(model.webhooks.len()).unwrap()).await;
    let fresh = model.webhooks.len() - before;
    assert!(fresh <= case.deliveries.len());
    for worker in workers {
        assert!(worker.terminate().await.success());
    }
}

async fn number_of_mails(stack: &testing::Stack, model: &Model) {
    let orders = i64::try_from(model.orders.len()).unwrap();
    let worker = worker_with(stack, &stack.configure(quicken)).await;
    number(stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND NOT ambiguous", orders).await;
    let mails = testing::mail::received(&stack.mail_domain).await;
    let ids: BTreeSet<&str> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
    assert_eq!((mails.len(), ids.len()), (model.orders.len(), model.orders.len()));
    drop(worker);
}
