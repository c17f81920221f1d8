//! README.md's "Why did this order's mail not go out?", done as it stands there, by somebody who knows nothing else.

use testing::orders::Order;
use testing::state::{number, processed, stock};
use testing::wait::until;
use testing::{Stack, mail, run};

use crate::scene::{Worker, oncehook, text};

const HEADING: &str = "### Why did this order's mail not go out?";

/// The commands of the section, in order, each with its arguments.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(testing::services::root().join("README.md")).unwrap();
    let section = readme.split(HEADING).nth(1).unwrap_or_else(|| panic!("README.md has no {HEADING}"));
    let section = section.split("\n**").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    oncehook "));
    let words = |line: &str| {
        let said = line.split("  ").next().unwrap_or_default(); // two spaces come before a remark
        said.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
    };
    lines.map(words).collect()
}

/// What somebody reads out of what was printed, to be put in place of a word of the README.
#[derive(Default)]
struct Reader {
    id: String,
    number: String,
}

impl Reader {
    async fn follow(&mut self, stack: &Stack, command: &[String]) -> String {
        let arguments = command.iter().map(|word| match word.as_str() {
            "ID" => self.id.as_str(),
            "NUMBER" => self.number.as_str(),
            word => word,
        });
        let arguments: Vec<&str> = arguments.collect();
        let output = oncehook(stack, &arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let printed = text(&output.stdout);
        let cell = |beginning: &dyn Fn(&[&str]) -> bool, at: usize| {
            let rows = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            rows.into_iter()
                .find(|cells| beginning(cells))
                .and_then(|cells| cells.get(at).map(|cell| (*cell).to_owned()))
        };
        if arguments.starts_with(&["webhooks", "ls"]) {
            self.id = cell(&|cells| cells.first() == Some(&"shopify"), 1).unwrap_or_else(|| panic!("{printed}"));
        }
        if let Some(number) = cell(&|cells| cells.get(1..3) == Some(&["order-confirmation", "failed"]), 0) {
            self.number = number;
        }
        printed
    }
}

#[tokio::test]
async fn an_orders_mail_is_found_mended_and_sent_as_the_readme_says() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        let address = |name: &str| format!("{name}@{}", stack.mail_domain);
        let parked = Order::of(1001, &address("ada"), &["MUG", "MUG-GREEN"]);
        let refused = Order::of(1002, &address("reject-once"), &["MUG"]);
        stack.publish(&parked.webhook("b54557e4-1001")).await;
        stack.publish(&refused.webhook("b54557e4-1002")).await;
        let worker = Worker::start(&stack).await;
        number(&stack, "SELECT count(*) FROM parked_webhooks", 1).await;
        number(&stack, "SELECT count(*) FROM outbox WHERE effect = 'order-confirmation' AND state = 'failed'", 1).await;

        let (commands, mut reader) = (commands(), Reader::default());
        assert_eq!(commands.len(), 9, "{commands:?}");
        let mut printed = Vec::new();
        for command in &commands {
            // Between two looks, the worker does what it was told to.
            printed.push(match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["webhooks", "show", ..] if printed.len() == 4 || printed.len() == 8 => {
                    until("its mail is sent", || async {
                        let mut reader = Reader { id: reader.id.clone(), number: reader.number.clone() };
                        let page = reader.follow(&stack, command).await;
                        page.contains("order-confirmation sent").then_some(page)
                    })
                    .await
                }
                _ => reader.follow(&stack, command).await,
            });
        }
        assert!(printed[0].contains("parked") && printed[1].contains("failed, parked: "), "{}", printed[1]);
        assert!(printed[1].contains("MUG-GREEN"), "{}", printed[1]);
        assert!(
            printed[5].contains("completed, not sent: 1") && printed[6].contains("order-confirmation failed: "),
            "{}",
            printed[6]
        );
        assert!(printed[6].contains("550"), "{}", printed[6]);
        processed(&stack, 2).await;
        let mails = mail::received(&stack.mail_domain).await;
        let of = |order: &str| mails.iter().filter(|mail| mail.subject.contains(order)).count();
        assert_eq!((of("#1001"), of("#1002")), (1, 1), "each once: {mails:?}");
        worker.stop().await;
    })
    .await;
}
