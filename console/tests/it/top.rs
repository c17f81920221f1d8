//! `oncehook top`, where there is no terminal: one look.

use testing::run;

use crate::scene::{command, json, oncehook, orders, text};

#[tokio::test]
async fn one_look_tells_what_is_wrong_first_even_of_what_does_not_answer() {
    run(async |stack| {
        for order in orders(&stack, 2) {
            stack.publish(&order).await;
        }
        let looked = json(&stack, &["top"]).await;
        assert_eq!(
            (&looked["queues"][0]["ready"], &looked["database"]["processed_per_second"]),
            (&2.into(), &0.0.into())
        );
        let table = oncehook(&stack, &["top"]).await;
        let page = text(&table.stdout);
        assert_eq!(table.status.code(), Some(3));
        let (wrong, queues) = (page.find("! no worker takes from").unwrap(), page.find("QUEUE").unwrap());
        assert!(wrong < queues && !page.contains('\u{1b}'), "{page}");

        let away =
            command(&stack, &["top", "--once"]).env("AMQP_URL", "amqp://me:hush@127.0.0.1:1").output().await.unwrap();
        let page = text(&away.stdout);
        assert!(page.contains("! the broker does not answer") && page.contains("processed: 0.0/s"), "{page}");
        assert!(!page.contains("hush"), "{page}");
    })
    .await;
}
