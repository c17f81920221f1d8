//! The webhooks of the benchmark: paid orders of three lines, 2,048 bytes each, signed as Shopify signs them.
//!
//! Every order is another, and every webhook id is random, as a provider's are: an index that grows in the order of its
//! keys would flatter the database.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use shared::message::{Message, sha256};
use shared::name::{Name, NameError};
use time::OffsetDateTime;
use uuid::Uuid;

/// The source and provider of all webhooks.
pub(crate) const SOURCE: &str = "shopify";
/// Bytes of each body.
pub(crate) const BODY_BYTES: usize = 2048;
/// Different SKUs, equally popular.
const SKUS: u32 = 1000;
/// What ingest keeps of the headers of a request.
const KEPT_HEADERS: [(&str, &str); 2] =
    [("x-shopify-shop-domain", "shop.example"), ("x-shopify-api-version", "2026-01")];
/// Orders that a second may make without meeting those of the next run.
const ORDERS_A_SECOND: u64 = 10_000;

/// Makes webhooks.
pub(crate) struct Shop {
    name: Name,
    key: hmac::Key,
    chance: fastrand::Rng,
    orders: u64,
}

impl Shop {
    /// A shop whose orders no earlier run had.
    ///
    /// # Errors
    /// Never, as long as [`SOURCE`] is a name.
    pub(crate) fn open(secret: &str) -> Result<Self, NameError> {
        let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default();
        Ok(Self {
            name: Name::try_from(SOURCE)?,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            chance: fastrand::Rng::new(),
            orders: now * ORDERS_A_SECOND,
        })
    }

    /// All SKUs that orders may name.
    pub(crate) fn skus() -> Vec<String> {
        (0..SKUS).map(sku).collect()
    }

    /// The body of a new order.
    pub(crate) fn body(&mut self) -> Bytes {
        self.orders += 1;
        let order = self.orders;
        let lines: Vec<String> = (0..3).map(|line| self.line(order * 10 + line)).collect();
        let mut body = format!(
            r##"{{"id":{order},"name":"#{order}","email":"buyer-{order}@customers.example","contact_email":"buyer-{order}@customers.example","test":false,"currency":"EUR","financial_status":"paid","total_price":"149.70","subtotal_price":"125.80","total_tax":"23.90","created_at":"2026-03-01T09:30:00+01:00","customer":{{"id":{order},"first_name":"Zoë","last_name":"Example","orders_count":3,"tags":""}},"shipping_address":{{"first_name":"Zoë","address1":"Example Street 1","city":"Berlin","zip":"10115","country_code":"DE"}},"line_items":[{}],"note":""##,
            lines.join(",")
        );
        let filling = BODY_BYTES.saturating_sub(body.len() + 2);
        body.extend(std::iter::repeat_with(|| self.chance.alphanumeric()).take(filling));
        body.push_str("\"}");
        body.into()
    }

    fn line(&mut self, id: u64) -> String {
        let (sku, quantity) = (sku(self.chance.u32(0..SKUS)), self.chance.u8(1..=3));
        format!(
            r#"{{"id":{id},"variant_id":{id},"title":"Linen shirt, long sleeves","sku":"{sku}","quantity":{quantity},"price":"49.90","grams":310,"vendor":"Example Goods","requires_shipping":true,"taxable":true,"gift_card":false,"fulfillment_status":null,"tax_lines":[{{"title":"VAT","price":"7.97","rate":0.19}}]}}"#
        )
    }

    /// What the provider puts beside a body to show that it is its own.
    pub(crate) fn signature(&self, body: &[u8]) -> String {
        BASE64.encode(hmac::sign(&self.key, body))
    }

    /// A webhook about a new order, as ingest puts it on the queue.
    pub(crate) fn message(&mut self) -> Message {
        let body = self.body();
        Message {
            source: self.name.clone(),
            provider: self.name.clone(),
            id: self.webhook_id(),
            topic: "orders/paid".to_owned(),
            received_at: OffsetDateTime::now_utc(),
            content_type: Some("application/json".to_owned()),
            headers: KEPT_HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body_sha256: sha256(&body),
            attempt: 0,
            traceparent: Some(self.traceparent()),
            steering: None,
            body,
        }
    }

    fn traceparent(&mut self) -> String {
        format!("00-{:032x}-{:016x}-00", self.chance.u128(1..), self.chance.u64(1..))
    }

    /// 36 characters.
    pub(crate) fn webhook_id(&mut self) -> String {
        Uuid::from_u128(self.chance.u128(..)).to_string()
    }
}

fn sku(number: u32) -> String {
    format!("WARE-{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_is_another_order_of_the_same_length() {
        let mut shop = Shop::open("hush").unwrap();
        let bodies = [shop.body(), shop.body()];
        assert!(bodies.iter().all(|body| body.len() == BODY_BYTES));
        let orders = bodies.map(|body| serde_json::from_slice::<serde_json::Value>(&body).unwrap());
        assert_ne!(orders[0]["id"], orders[1]["id"]);
        assert_eq!(orders[0]["line_items"].as_array().unwrap().len(), 3);
    }
}
