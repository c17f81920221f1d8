//! What goes wrong is noticed: on real services, by the rules as they are, without their `for`.

use testing::gate::Gate;
use testing::services::setting;
use testing::wait::until;

use crate::prometheus::Prometheus;
use crate::shop::{Otherwise, Shop};

#[tokio::test]
async fn stopped_workers_are_noticed() {
    testing::run(|stack| async move {
        let mut shop = Shop::open(&stack, Otherwise::default()).await;
        let prometheus = Prometheus::start(&stack.directory, &shop).await;
        prometheus.no_alert("OncehookDown").await;
        shop.stop_worker().await;
        prometheus.alert("OncehookDown").await;
        let consumers = format!("rabbitmq_detailed_queue_consumers{{queue=\"{}\"}} == 0", stack.topology.webhooks());
        prometheus.has_data(&consumers).await;
        prometheus.alert("OncehookNoConsumer").await;
        shop.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_broken_mail_server_is_noticed() {
    testing::run(|stack| async move {
        // Nobody answers at a port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let smtp_url = Some(format!("smtp://127.0.0.1:{port}"));
        let shop = Shop::open(&stack, Otherwise { smtp_url, ..Otherwise::default() }).await;
        let prometheus = Prometheus::start(&stack.directory, &shop).await;
        prometheus.no_alert("OncehookEffectsFail").await;
        shop.order(1, "MUG").await;
        prometheus.alert("OncehookEffectsFail").await;
        prometheus.has_data("webhook_outbox_oldest_failing_age_seconds > 0").await;
        shop.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_spool_that_fills_is_noticed() {
    testing::run(|stack| async move {
        let broker = setting("AMQP_URL");
        let (head, tail) = broker.split_once('@').unwrap();
        let (address, host) = tail.split_once('/').unwrap();
        let gate = Gate::to(address.to_owned()).await;
        let amqp_url = Some(format!("{head}@{}/{host}", gate.address));
        let shop = Shop::open(&stack, Otherwise { amqp_url, ..Otherwise::default() }).await;
        let prometheus = Prometheus::start(&stack.directory, &shop).await;
        prometheus.no_alert("OncehookSpoolInUse").await;
        drop(gate);
        let mut order = 0;
        until("the spool takes no more", || {
            order += 1;
            let sending = shop.order_of_size(order, 64 * 1024);
            async move { (sending.await == 503).then_some(()) }
        })
        .await;
        prometheus.alert("OncehookSpoolInUse").await;
        prometheus.alert("OncehookSpoolFull").await;
        prometheus.has_data("webhook_failed_answers_in_a_row{source=\"shopify\"} > 0").await;
        for order in 1000..1010 {
            assert_eq!(shop.order_of_size(order, 64 * 1024).await, 503);
        }
        prometheus.alert("OncehookSubscriptionAtRisk").await;
        shop.close().await;
    })
    .await;
}
