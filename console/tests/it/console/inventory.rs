//! Stock in the console: looked at page by page, entered, and told by the ledger and the audit.

use serde_json::json;
use testing::run;
use testing::state::{assert_no_drift, quantity};

use super::{Console, OPERATOR, json as answered};

#[tokio::test]
async fn stock_is_entered_and_set_in_the_browser_and_by_the_api() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        let missing = browser.page("/inventory?sku=CAP-RED").await;
        assert!(missing.contains("There is no SKU <span class=\"mono\">CAP-RED</span>"), "{missing}");
        let to = browser.submit("/inventory/set", &[("sku", "CAP-RED"), ("quantity", " 7 ")]).await;
        assert!(browser.page(&to).await.contains("CAP-RED is new: 7 in stock."), "{to}");
        let to = browser.submit("/inventory/set", &[("sku", "CAP-RED"), ("quantity", "-2")]).await;
        assert!(browser.page(&to).await.contains("CAP-RED had 7 before it was set: -2 in stock now."), "{to}");

        let forged = browser.page("/inventory?sku=CAP-RED&before=a+dozen+of+whatever").await;
        assert!(!forged.contains("whatever"), "{forged}");

        let change = console.act("/inventory", json!({ "sku": "CAP-RED", "quantity": 40 }), 200).await;
        assert_eq!(change, json!({ "sku": "CAP-RED", "before": -2, "quantity": 40 }));
        assert_eq!(quantity(&stack, "CAP-RED").await, 40);
        assert_no_drift(&stack).await;

        let audit = console.api("/audit").await;
        let told = |at: usize| {
            let row = &audit["actions"][at];
            ["action", "via", "subject", "outcome"].map(|field| row[field].as_str().unwrap().to_owned())
        };
        assert_eq!(told(0), ["inventory.set", "api", "CAP-RED", "done"]);
        assert_eq!(told(1), ["inventory.set", "browser", "CAP-RED", "done"]);
        let in_full = console.api(&format!("/audit/{}", audit["actions"][0]["id"])).await;
        assert_eq!(in_full["request"], json!({ "stock": { "CAP-RED": 40 } }));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_in_stock_is_refused_and_leaves_no_trace() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        for (sku, quantity, why) in [
            ("", 1, "is no SKU"),
            ("a\nb", 1, "is no SKU"),
            (&"x".repeat(256), 1, "is no SKU"),
            ("MUG", 1_000_000_000_001_i64, "MUG cannot have 1000000000001"),
        ] {
            let problem = console.act("/inventory", json!({ "sku": sku, "quantity": quantity }), 400).await;
            assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        }
        let fields = [("csrf", browser.csrf.as_str()), ("sku", "MUG"), ("quantity", "a dozen")];
        let refused = browser.form("/inventory/set", &fields).header("sec-fetch-site", "same-origin").send().await;
        let refused = refused.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(refused.text().await.unwrap().contains("is no whole number"));
        assert_eq!(stack.database.number("SELECT count(*) FROM inventory").await, 0);
        assert_eq!(stack.database.number("SELECT count(*) FROM console_audit WHERE action <> 'login'").await, 0);
    })
    .await;
}

#[tokio::test]
async fn stock_is_read_page_by_page_from_any_sku_on() {
    run(async |stack| {
        let enter = "INSERT INTO inventory (sku, quantity) SELECT 'SKU-' || lpad(n::text, 3, '0'), n
                     FROM generate_series(1, 120) AS n";
        stack.database.execute(enter).await;
        let console = Console::start(&stack).await;
        let (mut seen, mut path) = (Vec::new(), "/inventory".to_owned());
        loop {
            let page = console.api(&path).await;
            seen.extend(page["stock"].as_array().unwrap().iter().map(|row| row["quantity"].as_i64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/inventory?after={next}");
        }
        assert_eq!(seen, (1..=120).collect::<Vec<i64>>());
        let from = console.api("/inventory?sku=SKU-11").await;
        assert_eq!((&from["stock"][0]["sku"], &from["next"]), (&"SKU-110".into(), &serde_json::Value::Null));
        let browser = console.log_in(OPERATOR).await;
        let first = browser.page("/inventory").await;
        assert!(first.contains("SKU-050") && !first.contains("SKU-051") && first.contains("after=SKU-050"), "{first}");
        stack.database.execute("DELETE FROM inventory WHERE quantity > 50").await;
        assert_eq!(console.api("/inventory").await["next"], serde_json::Value::Null, "fifty are all there are");
        let unknown = console.get("/api/v1/inventory?page=2").bearer_auth(OPERATOR).send().await.unwrap();
        answered(unknown, 400).await;
    })
    .await;
}

/// As the shop spells it: planning looks for the SKU as it is.
#[tokio::test]
async fn a_sku_with_blanks_at_its_end_is_another_sku() {
    run(async |stack| {
        let console = Console::start(&stack).await;
        let browser = console.log_in(OPERATOR).await;
        browser.submit("/inventory/set", &[("sku", "MUG"), ("quantity", "1")]).await;
        let to = browser.submit("/inventory/set", &[("sku", "MUG "), ("quantity", "2")]).await;
        assert!(browser.page(&to).await.contains("MUG  is new: 2 in stock."), "{to}");
        assert_eq!((quantity(&stack, "MUG").await, quantity(&stack, "MUG ").await), (1, 2));
        let of_it = browser.page("/inventory?sku=MUG%20").await;
        assert!(of_it.contains("value=\"MUG \"") && of_it.contains("value=\"2\""), "{of_it}");
        let beginning = browser.page("/inventory?sku=MU").await;
        assert!(!beginning.contains("There is no SKU") && beginning.contains("MUG"), "{beginning}");
        assert_eq!(beginning.matches("value=\"MU\"").count(), 1, "looked for, and not about to be set: {beginning}");
        assert!(browser.page("/inventory?sku=%00").await.contains("There is no SKU"));
    })
    .await;
}
