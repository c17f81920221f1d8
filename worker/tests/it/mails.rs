//! How mails leave: each SMTP failure as the sink provokes it by the recipient's address.

use testing::mail::{Mail, received};
use testing::orders::Order;
use testing::process::{Service, WorkerOptions};
use testing::{Stack, replace, run};

use crate::scene::{number, options, quick, quicken, stock, worker, worker_with};

/// One order's mail to an address of the test's own; the outbox row ends in `state`.
async fn mail_to(stack: &Stack, id: u64, local_part: &str, state: &str) -> Vec<Mail> {
    let address = format!("{local_part}-{id}@{}", stack.mail_domain);
    stack.publish(&Order::of(id, &address, &["MUG"]).webhook(&format!("w{id}"))).await;
    let key = format!("order-confirmation/shopify/{id}");
    number(stack, &format!("SELECT count(*) FROM outbox WHERE dedupe_key = '{key}' AND state = '{state}'"), 1).await;
    let mails = received(&stack.mail_domain).await;
    mails.into_iter().filter(|mail| mail.to[0].address == address).collect()
}

async fn row(stack: &Stack, id: u64) -> (bool, i32, Option<String>) {
    let client = stack.database.client().await;
    let query = "SELECT ambiguous, attempts, last_error FROM outbox WHERE dedupe_key = $1";
    let row = client.query_one(query, &[&format!("order-confirmation/shopify/{id}")]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn each_failure_of_smtp_is_told_apart() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let worker = worker(&stack).await;
        assert_eq!(mail_to(&stack, 1, "fine", "sent").await.len(), 1);
        assert_eq!(row(&stack, 1).await, (false, 1, None));
        // The server will never take it.
        assert_eq!(mail_to(&stack, 2, "reject-permanent", "failed").await.len(), 0);
        let (ambiguous, attempts, error) = row(&stack, 2).await;
        assert_eq!((ambiguous, attempts), (false, 1));
        assert!(error.unwrap().contains("550"));
        // It takes it the second time; nothing had been accepted before.
        assert_eq!(mail_to(&stack, 3, "temporary-once", "sent").await.len(), 1);
        assert_eq!((row(&stack, 3).await.0, row(&stack, 3).await.1), (false, 2));
        // A kept session that dies before the mail is replaced at once.
        assert_eq!(mail_to(&stack, 4, "drop-before-data", "sent").await.len(), 1);
        assert!(!row(&stack, 4).await.0);
        // It took it and did not say so: sent again under the same Message-ID, and listed.
        let mails = mail_to(&stack, 5, "drop-after-data", "sent").await;
        assert_eq!(mails.len(), 2, "{mails:?}");
        assert_eq!(mails[0].message_id, mails[1].message_id);
        assert_eq!((row(&stack, 5).await.0, row(&stack, 5).await.1), (true, 2));
        assert!(worker.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn an_ambiguous_send_is_held_where_the_effect_says_so() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let hold = |text: &str| replace(&quicken(text), r#"on_ambiguous = "resend""#, r#"on_ambiguous = "hold""#);
        let worker = worker_with(&stack, &stack.configure(hold)).await;
        assert_eq!(mail_to(&stack, 1, "drop-after-data", "held").await.len(), 1);
        assert!(row(&stack, 1).await.0);
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn a_row_whose_worker_was_killed_while_sending_is_ambiguous_and_sent_again() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let config = quick(&stack);
        let victim = worker_with(&stack, &config).await;
        let address = format!("tarpit-once@{}", stack.mail_domain);
        stack.publish(&Order::of(1, &address, &["MUG"]).webhook("w1")).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sending'", 1).await;
        victim.kill_9().await;
        stack.database.execute("UPDATE outbox SET intent = jsonb_set(intent, '{to}', to_jsonb('fine@' || split_part(intent ->> 'to', '@', 2)))").await;
        let survivor = worker_with(&stack, &config).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE state = 'sent' AND ambiguous AND attempts = 2", 1).await;
        assert!(survivor.terminate().await.success());
    })
    .await;
}

#[tokio::test]
async fn credentials_in_the_url_are_used() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let config = quick(&stack);
        let smtp = testing::services::setting("SMTP_URL").replace("smtp://", "smtp://sink:sink@");
        let worker = Service::worker(&stack, &WorkerOptions { smtp_url: Some(smtp), ..options(&config) }).await;
        let mails = mail_to(&stack, 1, "fine", "sent").await;
        assert_eq!(mails[0].authenticated_as.as_deref(), Some("sink"));
        assert!(!worker.log().contains("sink:sink"), "a secret is in the log");
        drop(worker);
    })
    .await;
}

#[tokio::test]
async fn what_stays_ambiguous_to_the_last_attempt_is_held_and_a_refused_login_is_tried_again() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let few = |text: &str| replace(&quicken(text), "max_attempts = 48", "max_attempts = 2");
        let config = stack.configure(few);
        // The sink answers to DATA after a minute; the deadline is 2 s: ambiguous, twice.
        let patient = worker_with(&stack, &config).await;
        assert!(mail_to(&stack, 1, "tarpit", "held").await.len() >= 2);
        assert_eq!((row(&stack, 1).await.0, row(&stack, 1).await.1), (true, 2));
        patient.terminate().await;
        // 535 is permanent by its number, and may be a password that was just changed.
        let smtp = testing::services::setting("SMTP_URL").replace("smtp://", "smtp://sink:wrong@");
        let locked_out = Service::worker(&stack, &WorkerOptions { smtp_url: Some(smtp), ..options(&config) }).await;
        stack.publish(&Order::of(2, &format!("fine@{}", stack.mail_domain), &["MUG"]).webhook("w2")).await;
        let tried = "SELECT count(*) FROM outbox WHERE webhook_id = 'w2' AND state = 'pending' AND attempts = 1";
        number(&stack, tried, 1).await;
        locked_out.terminate().await;
        let let_in = worker_with(&stack, &config).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE webhook_id = 'w2' AND state = 'sent' AND NOT ambiguous", 1)
            .await;
        drop(let_in);
    })
    .await;
}
