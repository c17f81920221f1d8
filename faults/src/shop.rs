//! The shop whose webhooks are sent: orders drawn from a seed, signed as Shopify signs them.
//!
//! It signs by itself and not with the code under test.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// How many SKUs the orders of a run are drawn from: few, so that workers meet on the same rows.
pub(crate) const SKUS: u64 = 20;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
}

/// One order; all webhooks about it have the same body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) lines: Vec<Line>,
}

/// One webhook, ready to be sent as often as it takes.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) order: Order,
    pub(crate) body: Bytes,
    signature: String,
}

impl Webhook {
    /// What is sent beside the body.
    pub(crate) fn headers(&self) -> [(&'static str, &str); 4] {
        [
            ("content-type", "application/json"),
            ("x-shopify-topic", "orders/paid"),
            ("x-shopify-webhook-id", &self.id),
            ("x-shopify-hmac-sha256", &self.signature),
        ]
    }
}

/// What is special about a run's webhooks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mix {
    /// Beginnings of mail addresses that make the mail sink misbehave: each with the share of orders, in percent.
    pub(crate) mailboxes: Vec<(&'static str, u8)>,
    /// Beginnings of webhook ids that a failpoint waits for: one in so many webhooks.
    pub(crate) poison: Vec<(&'static str, u32)>,
    /// Bytes that fill up each body.
    pub(crate) padding: usize,
}

/// Makes webhooks, each from the seed and those before it.
pub(crate) struct Shop {
    domain: String,
    chance: fastrand::Rng,
    key: hmac::Key,
    mix: Mix,
    orders: u64,
    recent: Vec<Webhook>,
}

impl Shop {
    /// A shop whose mail addresses are of `domain`; two shops of one run have different series of order ids.
    pub(crate) fn new(domain: &str, secret: &str, [seed, series]: [u64; 2], mix: Mix) -> Self {
        Self {
            domain: domain.to_owned(),
            chance: fastrand::Rng::with_seed(seed),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            mix,
            orders: 7_000_000_000_000 + series * 1_000_000_000,
            recent: Vec::new(),
        }
    }

    /// The SKUs of all orders.
    pub(crate) fn skus() -> impl Iterator<Item = String> {
        (0..SKUS).map(sku)
    }

    /// The next to be sent: mostly a new order, sometimes a webhook again, sometimes an order under another id.
    pub(crate) fn next_webhook(&mut self) -> Webhook {
        let repeated = self.chance.choice(&self.recent).cloned();
        let webhook = match (repeated, self.chance.u8(0..100)) {
            (Some(webhook), 0..15) => webhook,
            (Some(webhook), 15..20) => Webhook { id: self.new_id(), ..webhook },
            _ => {
                let order = self.new_order();
                self.webhook(order)
            }
        };
        if self.recent.len() == 200 {
            let place = self.chance.usize(0..self.recent.len());
            self.recent.swap_remove(place);
        }
        self.recent.push(webhook.clone());
        webhook
    }

    fn new_id(&mut self) -> String {
        let poison = self.mix.poison.iter().find(|(_, one_in)| self.chance.u32(0..*one_in) == 0);
        let beginning = poison.map_or("", |(beginning, _)| beginning);
        format!("{beginning}{:032x}", self.chance.u128(..))
    }

    fn new_order(&mut self) -> Order {
        self.orders += 1;
        let id = self.orders.to_string();
        let mut percent = self.chance.u8(0..100);
        let mut mailbox = "buyer";
        for (beginning, share) in &self.mix.mailboxes {
            if percent < *share {
                mailbox = beginning;
                break;
            }
            percent -= share;
        }
        let lines = (0..self.chance.u64(1..=3)).map(|index| Line {
            id: format!("{id}{index}"),
            sku: sku(self.chance.u64(0..SKUS)),
            quantity: self.chance.i64(1..=3),
        });
        let lines = lines.collect();
        Order { email: format!("{mailbox}-{id}@{}", self.domain), id, lines }
    }

    /// Letters that do not compress, so that it takes the room it says.
    fn padding(&mut self) -> String {
        (0..self.mix.padding).map(|_| self.chance.alphanumeric()).collect()
    }

    fn webhook(&mut self, order: Order) -> Webhook {
        let lines: Vec<_> = order
            .lines
            .iter()
            .map(|line| {
                let (id, sku, quantity) = (&line.id, &line.sku, line.quantity);
                serde_json::json!({ "id": id, "sku": sku, "quantity": quantity, "title": "Ware", "price": "9.90" })
            })
            .collect();
        let body = serde_json::json!({
            "id": order.id, "name": format!("#{}", order.id), "email": order.email, "test": false,
            "currency": "EUR", "total_price": "19.80", "customer": { "first_name": "Zoë" }, "line_items": lines,
            "note": self.padding(),
        });
        let body = Bytes::from(body.to_string());
        let signature = BASE64.encode(hmac::sign(&self.key, &body));
        Webhook { id: self.new_id(), order, body, signature }
    }
}

fn sku(number: u64) -> String {
    format!("WARE-{number:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_webhooks_and_some_of_them_twice() {
        let webhooks = |seed| {
            let mut shop = Shop::new("run.example", "hush", [seed, 0], Mix::default());
            (0..500).map(|_| shop.next_webhook()).map(|webhook| (webhook.id, webhook.body)).collect::<Vec<_>>()
        };
        assert_eq!(webhooks(7), webhooks(7));
        assert_ne!(webhooks(7), webhooks(8));
        let (ids, bodies): (std::collections::HashSet<_>, std::collections::HashSet<_>) =
            webhooks(7).into_iter().unzip();
        assert!(bodies.len() < ids.len() && ids.len() < 500, "{} bodies, {} ids", bodies.len(), ids.len());
    }
}
