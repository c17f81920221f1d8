//! Orders as Shopify sends them, as messages on the queue.

use shared::message::{Message, sha256};
use shared::name::Name;
use time::OffsetDateTime;

/// An order to make a webhook of.
#[derive(Debug, Clone)]
pub struct Order {
    /// The order's id.
    pub id: u64,
    /// The customer's address.
    pub email: Option<String>,
    /// SKU and quantity of each line; no SKU for tips and gift cards.
    pub lines: Vec<(Option<String>, i64)>,
    /// Whether it is a test order.
    pub test: bool,
}

impl Order {
    /// An order of one unit each.
    #[must_use]
    pub fn of(id: u64, email: &str, skus: &[&str]) -> Self {
        let lines = skus.iter().map(|sku| (Some((*sku).to_owned()), 1)).collect();
        Self { id, email: Some(email.to_owned()), lines, test: false }
    }

    /// The body of its `orders/paid` webhook.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let lines: Vec<_> = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, (sku, quantity))| {
                serde_json::json!({
                    "id": self.id * 100 + index as u64, "sku": sku, "quantity": quantity,
                    "title": format!("Thing {}", index + 1), "price": "10.00", "gift_card": sku.is_none(),
                })
            })
            .collect();
        serde_json::to_vec(&serde_json::json!({
            "id": self.id, "name": format!("#{}", self.id), "email": self.email.clone().unwrap_or_default(),
            "contact_email": self.email, "test": self.test, "currency": "EUR", "total_price": "30.00",
            "customer": { "first_name": "Zoë" }, "line_items": lines,
        }))
        .unwrap()
    }

    /// Its webhook under an id.
    #[must_use]
    pub fn webhook(&self, id: &str) -> Message {
        webhook(id, "orders/paid", self.body())
    }
}

/// A webhook of the source `shopify`.
#[must_use]
pub fn webhook(id: &str, topic: &str, body: Vec<u8>) -> Message {
    Message {
        source: Name::try_from("shopify").unwrap(),
        provider: Name::try_from("shopify").unwrap(),
        id: id.to_owned(),
        topic: topic.to_owned(),
        received_at: OffsetDateTime::now_utc(),
        content_type: Some("application/json".to_owned()),
        headers: vec![("x-shopify-shop-domain".to_owned(), "shop.example".to_owned())],
        body_sha256: sha256(&body),
        attempt: 0,
        traceparent: None,
        steering: None,
        body: body.into(),
    }
}
