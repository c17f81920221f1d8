//! `oncehook inventory`.

use testing::run;
use tokio::process::Command;

use crate::scene::{json, oncehook, text};

#[tokio::test]
async fn stock_is_set_imported_and_shown() {
    run(async |stack| {
        assert!(text(&oncehook(&stack, &["inventory", "show"]).await.stdout).contains("no SKU is in stock yet"));
        let set = json(&stack, &["inventory", "set", "MUG", "12"]).await;
        assert_eq!(set, serde_json::json!([{ "sku": "MUG", "before": null, "quantity": 12 }]));
        let file = stack.directory.join("stock.csv");
        std::fs::write(&file, "sku,quantity\nMUG,10\nHAT,-1\n").unwrap();
        let import = oncehook(&stack, &["inventory", "import", file.to_str().unwrap()]).await;
        assert!(import.status.success(), "{import:?}");
        let shown = json(&stack, &["inventory", "show"]).await;
        let row = |index: usize| (shown[index]["sku"].as_str().unwrap(), shown[index]["quantity"].as_i64().unwrap());
        assert_eq!((row(0), row(1)), (("HAT", -1), ("MUG", 10)));
        let client = stack.database.client().await;
        assert_eq!(shared::db::inventory::drift(&**client).await.unwrap(), []);
        let table = text(&oncehook(&stack, &["inventory", "show"]).await.stdout);
        assert!(table.lines().next().unwrap().contains("QUANTITY") && table.contains("MUG"), "{table}");
    })
    .await;
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing() {
    run(async |stack| {
        let file = stack.directory.join("stock.csv");
        std::fs::write(&file, "sku,quantity\nMUG,10\nHAT,many\n").unwrap();
        let import = oncehook(&stack, &["inventory", "import", file.to_str().unwrap()]).await;
        assert_eq!(import.status.code(), Some(1));
        assert!(text(&import.stderr).contains("nothing is changed"), "{import:?}");
        assert_eq!(stack.database.number("SELECT count(*) FROM inventory").await, 0);
    })
    .await;
}

#[tokio::test]
async fn stock_that_is_not_what_its_ledger_says_is_told() {
    run(async |stack| {
        json(&stack, &["inventory", "set", "HAT", "5"]).await;
        json(&stack, &["inventory", "set", "MUG", "12"]).await;
        json(&stack, &["inventory", "set", "MUG", "10"]).await;
        assert_eq!(json(&stack, &["inventory", "check"]).await, serde_json::json!([]));
        stack
            .database
            .client()
            .await
            .execute("UPDATE inventory SET quantity = 9 WHERE sku = 'MUG'", &[])
            .await
            .unwrap();
        let check = oncehook(&stack, &["inventory", "check", "--output", "json"]).await;
        assert_eq!(check.status.code(), Some(3));
        let drifts: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        assert_eq!(drifts, serde_json::json!([{ "sku": "MUG", "quantity": 9, "expected": 10 }]));
    })
    .await;
}

#[tokio::test]
async fn a_missing_setting_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_oncehook")).args(["inventory", "show"]).env_clear().output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "oncehook: DATABASE_URL is not set\n");
}
