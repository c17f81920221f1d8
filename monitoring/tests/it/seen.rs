//! What goes wrong is seen: real faults, a console and a Prometheus beside them. Each shows on the overview within ten
//! seconds, by the console's own intervals, and fires its alert; and both are quiet again when it is mended.
//!
//! The rules are the project's own, but that they do not wait before they fire; promtool's tests hold their true times.

use std::time::Instant;

use testing::gate::Gate;
use testing::services::setting;
use testing::wait::until;

use crate::console::Console;
use crate::prometheus::Prometheus;
use crate::shop::{Otherwise, Shop};

#[tokio::test]
async fn workers_that_are_stopped() {
    testing::run(|stack| async move {
        let mut shop = Shop::open(&stack, Otherwise::default()).await;
        let (prometheus, console) =
            (Prometheus::impatient(&stack.directory, &shop).await, Console::start(&stack, &shop).await);
        let fault = Instant::now();
        shop.stop_worker().await;
        console.tells_since(fault, "no worker takes from the queue").await;
        console.tells_since(fault, &format!("worker at 127.0.0.1:{}: it is not there", shop.worker_ops_port)).await;
        prometheus.fires("OncehookDown").await;
        prometheus.fires("OncehookNoConsumer").await;
        shop.start_worker_again().await;
        console.is_fine().await;
        prometheus.no_alert("OncehookDown").await;
        prometheus.no_alert("OncehookNoConsumer").await;
        prometheus.no_alert("OncehookConsoleDown").await;
        console.close();
        prometheus.fires("OncehookConsoleDown").await;
        shop.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_or_is_gone_while_no_mail_is_due() {
    testing::run(|stack| async move {
        let place = setting("SMTP_URL").trim_start_matches("smtp://").to_owned();
        let gate = Gate::to(place.clone()).await;
        let address = gate.address;
        let smtp_url = Some(format!("smtp://{address}"));
        let shop = Shop::open(&stack, Otherwise { smtp_url, ..Otherwise::default() }).await;
        let (prometheus, console) =
            (Prometheus::impatient(&stack.directory, &shop).await, Console::start(&stack, &shop).await);
        let away = "operator-alert, order-confirmation: no worker reaches where it goes";
        // It takes connections, and hears nothing.
        let fault = Instant::now();
        gate.hold_clients();
        console.tells_since(fault, away).await;
        prometheus.fires("OncehookDestinationDown").await;
        gate.release_clients();
        console.is_fine().await;
        prometheus.no_alert("OncehookDestinationDown").await;
        // It has gone.
        let fault = Instant::now();
        drop(gate);
        console.tells_since(fault, away).await;
        prometheus.fires("OncehookDestinationDown").await;
        let _gate = Gate::at(address, place).await;
        console.is_fine().await;
        prometheus.no_alert("OncehookDestinationDown").await;
        console.close();
        shop.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_spool_that_fills() {
    testing::run(|stack| async move {
        let broker = setting("AMQP_URL");
        let (head, tail) = broker.split_once('@').unwrap();
        let (place, host) = tail.split_once('/').unwrap();
        let gate = Gate::to(place.to_owned()).await;
        let address = gate.address;
        let amqp_url = Some(format!("{head}@{address}/{host}"));
        let shop = Shop::open(&stack, Otherwise { amqp_url, ..Otherwise::default() }).await;
        let (prometheus, console) =
            (Prometheus::impatient(&stack.directory, &shop).await, Console::start(&stack, &shop).await);
        let fault = Instant::now();
        drop(gate);
        let first = shop.order_of_size(1, 64 * 1024).await;
        assert_eq!(first, 200, "it is spooled");
        console.tells_since(fault, "keeps webhooks in its spool: 1 files").await;
        console.tells_since(fault, "no connection to the broker").await;
        prometheus.fires("OncehookSpoolInUse").await;
        let mut order = 1;
        until("the spool takes no more", || {
            order += 1;
            let sending = shop.order_of_size(order, 64 * 1024);
            async move { (sending.await == 503).then_some(()) }
        })
        .await;
        console.tells_since(Instant::now(), "spool.max_bytes of").await;
        prometheus.fires("OncehookSpoolFull").await;
        let _gate = Gate::at(address, place.to_owned()).await;
        for concern in ["keeps webhooks in its spool", "no connection to the broker", "spool.max_bytes of"] {
            console.tells_no_longer(concern).await;
        }
        prometheus.no_alert("OncehookSpoolInUse").await;
        prometheus.no_alert("OncehookSpoolFull").await;
        console.close();
        shop.close().await;
    })
    .await;
}
