"""Shopify's side: builds `orders/paid` webhooks as a shop would send them.

The shape of the body follows https://shopify.dev/docs/api/admin-rest/latest/resources/order, the
headers https://shopify.dev/docs/apps/build/webhooks/subscribe/https. Money is text, ids are numbers
beyond 32 bits, slashes are escaped (Shopify's serializer does), and names are whatever people are called.
"""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import json
import random
import uuid

SHOP = "oncehook-demo.myshopify.com"
API_VERSION = "2025-07"


@dataclasses.dataclass(frozen=True)
class Customer:
    first_name: str
    last_name: str
    email: str
    country_code: str = "DE"
    locale: str = "de-DE"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of an order. Tips and gift cards have no SKU; a shop leaves it null or empty."""

    title: str
    price: str
    quantity: int = 1
    sku: str | None = None
    gift_card: bool = False
    tip: bool = False

    @property
    def cents(self) -> int:
        return round(float(self.price) * 100) * self.quantity


@dataclasses.dataclass(frozen=True)
class Webhook:
    """One delivery: sent again, it is the same bytes under the same headers."""

    id: str
    headers: dict[str, str]
    body: bytes


def new_webhook_id(run: str) -> str:
    """A UUID whose first group is `run` (8 hex digits), so that a run's webhooks can be found again."""
    return run + str(uuid.uuid4())[8:]


def under_another_id(original: Webhook, webhook_id: str) -> Webhook:
    """The same order by a second subscription. The signature covers the body only, so it still holds."""
    return Webhook(webhook_id, original.headers | {"X-Shopify-Webhook-Id": webhook_id}, original.body)


def webhook(order: dict, secret: str, webhook_id: str, topic: str = "orders/paid") -> Webhook:
    """Signs `order`, as Shopify does: base64 of the HMAC-SHA256 of the raw body."""
    body = json.dumps(order, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Shopify-Captain-Hook",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": base64.b64encode(signature).decode(),
        "X-Shopify-Shop-Domain": SHOP,
        "X-Shopify-API-Version": API_VERSION,
        "X-Shopify-Webhook-Id": webhook_id,
        "X-Shopify-Event-Id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{SHOP}/orders/{order['id']}/paid")),
        "X-Shopify-Triggered-At": now,
    }
    return Webhook(webhook_id, headers, body)


def order(
    order_id: int,
    number: int,
    lines: list[Line],
    customer: Customer | None,
    *,
    test: bool = False,
    currency: str = "EUR",
) -> dict:
    """A paid order. Without a customer it is a sale over the counter: no e-mail address, no shipping."""
    chance = random.Random(order_id)
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=1))).isoformat(timespec="seconds")
    token = f"{chance.getrandbits(128):032x}"
    tip_cents = sum(line.cents for line in lines if line.tip)
    goods_cents = sum(line.cents for line in lines) - tip_cents
    shipping_cents = 490 if customer else 0
    total_cents = goods_cents + tip_cents + shipping_cents
    taxes = [_tax(goods_cents + shipping_cents, currency)]

    def money_fields(**cents: int) -> dict:
        fields = {}
        for name, amount in cents.items():
            fields[name] = _money(amount)
            fields[f"{name}_set"] = _money_set(amount, currency)
        return fields

    document = {
        "id": order_id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
        "app_id": 580111 if customer else 129785,
        "browser_ip": "203.0.113.17" if customer else None,
        "buyer_accepts_marketing": False,
        "cancel_reason": None,
        "cancelled_at": None,
        "cart_token": token if customer else None,
        "checkout_id": chance.randrange(10**13, 10**14),
        "checkout_token": token,
        "closed_at": None,
        "confirmation_number": f"{chance.getrandbits(45):09X}"[:9],
        "confirmed": True,
        "contact_email": customer.email if customer else None,
        "created_at": now,
        "currency": currency,
        "customer_locale": customer.locale if customer else None,
        "device_id": None if customer else 1,
        "discount_codes": [],
        "duties_included": False,
        "email": customer.email if customer else "",
        "estimated_taxes": False,
        "financial_status": "paid",
        "fulfillment_status": None if customer else "fulfilled",
        "landing_site": "/products/tee?utm_source=newsletter&utm_medium=email" if customer else None,
        "location_id": None if customer else 655441491,
        "name": f"#{number}",
        "note": None,
        "note_attributes": [],
        "number": number - 1000,
        "order_number": number,
        "order_status_url": f"https://{SHOP}/548380009/orders/{token}/authenticate?key={token[:16]}",
        "payment_gateway_names": ["shopify_payments" if customer else "cash"],
        "phone": None,
        "po_number": None,
        "presentment_currency": currency,
        "processed_at": now,
        "reference": None,
        "referring_site": "",
        "source_identifier": None,
        "source_name": "web" if customer else "pos",
        "tags": "",
        "tax_exempt": False,
        "tax_lines": taxes,
        "taxes_included": True,
        "test": test,
        "token": token,
        "total_outstanding": "0.00",
        "total_tip_received": _money(tip_cents),
        "total_weight": 0,
        "updated_at": now,
        "user_id": None if customer else 799407056,
        **money_fields(
            current_subtotal_price=goods_cents,
            current_total_price=total_cents,
            current_total_tax=_tax_cents(goods_cents + shipping_cents),
            subtotal_price=goods_cents,
            total_discounts=0,
            total_line_items_price=goods_cents,
            total_price=total_cents,
            total_tax=_tax_cents(goods_cents + shipping_cents),
        ),
        "total_shipping_price_set": _money_set(shipping_cents, currency),
        "discount_applications": [],
        "fulfillments": [],
        "line_items": [_line_item(line, chance, currency) for line in lines],
        "payment_terms": None,
        "refunds": [],
        "shipping_lines": [_shipping_line(chance, shipping_cents, currency)] if customer else [],
        "billing_address": None,
        "customer": None,
        "shipping_address": None,
    }
    if customer:
        address = _address(customer)
        document |= {
            "billing_address": address,
            "customer": _customer(customer, chance, currency, now, address),
            "shipping_address": address,
        }
    return document


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _money_set(cents: int, currency: str) -> dict:
    money = {"amount": _money(cents), "currency_code": currency}
    return {"shop_money": money, "presentment_money": money}


def _tax_cents(gross_cents: int) -> int:
    return round(gross_cents * 19 / 119)


def _tax(gross_cents: int, currency: str) -> dict:
    cents = _tax_cents(gross_cents)
    return {
        "price": _money(cents),
        "price_set": _money_set(cents, currency),
        "rate": 0.19,
        "title": "MwSt",
        "channel_liable": False,
    }


def _line_item(line: Line, chance: random.Random, currency: str) -> dict:
    line_id = chance.randrange(10**13, 10**14)
    unit_cents = line.cents // line.quantity
    product = None if line.tip else chance.randrange(10**12, 10**13)
    return {
        "id": line_id,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{line_id}",
        "attributed_staffs": [],
        "current_quantity": line.quantity,
        "fulfillable_quantity": 0 if line.tip or line.gift_card else line.quantity,
        "fulfillment_service": "gift_card" if line.gift_card else "manual",
        "fulfillment_status": None,
        "gift_card": line.gift_card,
        "grams": 0,
        "name": line.title,
        "price": _money(unit_cents),
        "price_set": _money_set(unit_cents, currency),
        "product_exists": product is not None,
        "product_id": product,
        "properties": [],
        "quantity": line.quantity,
        "requires_shipping": not (line.tip or line.gift_card),
        "sku": line.sku,
        "taxable": not (line.tip or line.gift_card),
        "title": line.title,
        "total_discount": "0.00",
        "total_discount_set": _money_set(0, currency),
        "variant_id": product and product + 1,
        "variant_inventory_management": "shopify" if line.sku else None,
        "variant_title": None,
        "vendor": None if line.tip else "Oncehook Demo",
        "tax_lines": [] if line.tip or line.gift_card else [_tax(line.cents, currency)],
        "duties": [],
        "discount_allocations": [],
    }


def _shipping_line(chance: random.Random, cents: int, currency: str) -> dict:
    return {
        "id": chance.randrange(10**12, 10**13),
        "carrier_identifier": None,
        "code": "Standard",
        "discounted_price": _money(cents),
        "discounted_price_set": _money_set(cents, currency),
        "phone": None,
        "price": _money(cents),
        "price_set": _money_set(cents, currency),
        "source": "shopify",
        "title": "Standard",
        "tax_lines": [_tax(cents, currency)],
        "discount_allocations": [],
    }


def _address(customer: Customer) -> dict:
    return {
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "name": customer.name,
        "company": None,
        "address1": "Straße der Nüsse 7",
        "address2": "c/o \"Zum Bären\"",
        "city": "Köln",
        "province": None,
        "province_code": None,
        "zip": "50667",
        "country": "Germany",
        "country_code": customer.country_code,
        "phone": None,
        "latitude": 50.9375,
        "longitude": 6.9603,
    }


def _customer(customer: Customer, chance: random.Random, currency: str, now: str, address: dict) -> dict:
    customer_id = chance.randrange(10**12, 10**13)
    return {
        "id": customer_id,
        "admin_graphql_api_id": f"gid://shopify/Customer/{customer_id}",
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "created_at": now,
        "updated_at": now,
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "tax_exemptions": [],
        "phone": None,
        "currency": currency,
        "default_address": {"id": customer_id + 1, "customer_id": customer_id, **address, "default": True},
    }
