//! A destination that is away: its rows wait and keep their attempts, others go on, and all are sent when it is back. What
//! a server says of one recipient keeps nobody else waiting.

use testing::gate::Gate;
use testing::mail::received;
use testing::orders::Order;
use testing::process::{Service, WorkerOptions};
use testing::services::setting;
use testing::wait::until;
use testing::{Stack, replace, run};

use crate::scene::{number, options, processed, quicken, stock};

/// Waits until the worker's metrics hold this line.
async fn says(worker: &Service, line: &str) {
    until(line, || async { worker.metrics().await.lines().any(|one| one == line).then_some(()) }).await;
}

/// Patient breakers, so that what is sent while the destination is away is a handful for certain.
fn configuration(text: &str) -> String {
    replace(&quicken(text), "breaker_min_ms = 50 ", "breaker_min_ms = 500 ")
}

fn without_mail(stack: &Stack, smtp_url: &str) -> WorkerOptions<'static> {
    let config: &'static std::path::Path = Box::leak(stack.configure(configuration).into_boxed_path());
    WorkerOptions { smtp_url: Some(smtp_url.to_owned()), ..options(config) }
}

#[tokio::test]
async fn rows_wait_while_their_destination_is_away_and_are_sent_when_it_is_back_whoever_restarts() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let smtp = setting("SMTP_URL");
        let place = smtp.trim_start_matches("smtp://").to_owned();
        let gate = Gate::to(place.clone()).await;
        let (address, smtp_url) = (gate.address, format!("smtp://{}", gate.address));
        drop(gate);
        let options = without_mail(&stack, &smtp_url);
        let first = Service::worker(&stack, &options).await;
        says(&first, "webhook_destination_up{effect=\"order-confirmation\"} 0").await;
        says(&first, "webhook_effect_breaker{effect=\"order-confirmation\"} 0").await;
        for order in 1..=40 {
            let address = format!("fine-{order}@{}", stack.mail_domain);
            stack.publish(&Order::of(order, &address, &["MUG"]).webhook(&format!("w{order}"))).await;
        }
        processed(&stack, 40).await;
        until("the breaker is open", || async {
            let metrics = first.metrics().await;
            metrics.contains("webhook_effect_breaker{effect=\"order-confirmation\"} 2").then_some(())
        })
        .await;
        let untouched = "SELECT count(*) FROM outbox WHERE attempts = 0";
        assert!(stack.database.number(untouched).await > 0, "not every row has been tried in vain");
        first.kill_9().await;
        let second = Service::worker(&stack, &options).await;
        let _gate = Gate::at(address, place).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 40).await;
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE ambiguous").await, 0);
        assert_eq!(received(&stack.mail_domain).await.len(), 40);
        says(&second, "webhook_destination_up{effect=\"order-confirmation\"} 1").await;
        says(&second, "webhook_effect_breaker{effect=\"order-confirmation\"} 0").await;
        assert!(second.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn recipients_that_a_server_does_not_take_yet_open_no_breaker() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        // One that opened would keep all of them waiting for longer than this test does.
        let patient = |text: &str| {
            let text = replace(&quicken(text), "breaker_min_ms = 50 ", "breaker_min_ms = 600000 ");
            replace(&text, "breaker_max_ms = 500", "breaker_max_ms = 600000")
        };
        let worker = Service::worker(&stack, &options(&stack.configure(patient))).await;
        for order in 1..=8 {
            let address = format!("reject-temporary-{order}@{}", stack.mail_domain);
            stack.publish(&Order::of(order, &address, &["MUG"]).webhook(&format!("w{order}"))).await;
        }
        number(&stack, "SELECT count(*) FROM outbox WHERE attempts > 2 AND last_error LIKE '%451%'", 8).await;
        let address = format!("fine@{}", stack.mail_domain);
        stack.publish(&Order::of(9, &address, &["MUG"]).webhook("w9")).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent'", 1).await;
        says(&worker, "webhook_effect_breaker{effect=\"order-confirmation\"} 0").await;
        assert!(worker.terminate().await.success());
    })
    .await;
}
