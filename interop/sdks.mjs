// The providers' own libraries: what each signs and verifies. Where a library can't sign, the signature is made here and
// the library must call it genuine before it is sent.
//
// A case has: sdk (name and version are taken from its package.json), provider, secrets [ours, another], sample(at) -> body,
// sign(body, secret, at) -> {headers, body}, verify({headers, body}, secret) -> boolean, signature (its header, or the path
// in the body), tolerance (seconds, if a time is signed), bend(body) -> body with one bit of what is signed changed.

import { createHmac, createPrivateKey, generateKeyPairSync, sign as cryptoSign } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// Debian 12's Node has it under another name.
globalThis.crypto ??= require('node:crypto').webcrypto;
const hmac = (hash, key, text, encoding) => createHmac(hash, key).update(text).digest(encoding);
const flip = (body) => {
  const bytes = Buffer.from(body);
  bytes[Math.floor(bytes.length / 2)] ^= 1;
  return bytes;
};
const header = (request, name) =>
  Object.entries(request.headers).find(([given]) => given.toLowerCase() === name.toLowerCase())?.[1];
const throws = (check) => {
  try {
    return check() !== false;
  } catch {
    return false;
  }
};
const seconds = (at) => Math.floor(at / 1000);
const plain = ['a-secret-of-some-length', 'another-secret-of-some-length'];
const json = (value) => () => JSON.stringify(value);

const stripe = require('stripe').webhooks;
const octokit = await import('@octokit/webhooks-methods');
const StandardWebhooks = require('standardwebhooks').Webhook;
const Svix = require('svix').Webhook;
const twilio = require('twilio');
const { hmacValidator: AdyenValidator } = require('@adyen/api-library');
const { WebhooksHelper: Square } = require('square');
const paddle = await import('@paddle/paddle-node-sdk');
await import('@shopify/shopify-api/adapters/node');
const shopifyApi = (await import('@shopify/shopify-api')).shopifyApi;
const { Signature: HubSpot } = require('@hubspot/api-client/lib/src/utils/signature.js');
const { LinearWebhookClient } = await import('@linear/sdk/webhooks');
const razorpay = require('razorpay');
const coinbase = require('coinbase-commerce-node').Webhook;
const discord = require('discord-interactions');
const { verifySlackRequest } = require('@slack/bolt/dist/receivers/verify-request.js');
const { EventWebhook } = require('@sendgrid/eventwebhook');

export const PUBLIC = 'https://hooks.example.com/webhooks/';
const whsec = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'];
const adyenKeys = ['44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056', '00'.repeat(32)];

const standard = (Webhook, prefix) => ({
  signature: `${prefix}-signature`,
  tolerance: 300,
  sample: json({ type: 'contact.created', data: { id: '1f81eb52' } }),
  sign: (body, secret, at) => ({
    headers: {
      [`${prefix}-id`]: 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W',
      [`${prefix}-timestamp`]: String(seconds(at)),
      [`${prefix}-signature`]: new Webhook(secret).sign('msg_2KWPBgLlAfxdpx2AI54pPJ85f4W', new Date(at), body),
    },
    body,
  }),
  verify: (request, secret) => throws(() => new Webhook(secret).verify(request.body, lower(request.headers))),
});
const lower = (headers) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

const ed25519 = [0, 1].map(() => generateKeyPairSync('ed25519'));
const p256 = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }));
const spki = (pair) => pair.publicKey.export({ type: 'spki', format: 'der' });

export const cases = [
  {
    sdk: 'stripe', provider: 'stripe', secrets: plain, signature: 'Stripe-Signature', tolerance: 300,
    sample: json({ id: 'evt_1', object: 'event', type: 'charge.refunded', data: { object: { id: 'ch_1' } } }),
    sign: (body, secret, at) => ({
      headers: { 'Stripe-Signature': stripe.generateTestHeaderString({ payload: body, secret, timestamp: seconds(at) }) },
      body,
    }),
    verify: (request, secret) => throws(() => stripe.constructEvent(request.body, header(request, 'Stripe-Signature'), secret)),
  },
  {
    sdk: '@octokit/webhooks-methods', provider: 'github', secrets: plain, signature: 'X-Hub-Signature-256',
    sample: json({ action: 'opened', issue: { number: 1 } }),
    sign: async (body, secret) => ({
      headers: { 'X-GitHub-Delivery': '72d3162e', 'X-GitHub-Event': 'issues', 'X-Hub-Signature-256': await octokit.sign(secret, body) },
      body,
    }),
    verify: (request, secret) => octokit.verify(secret, request.body, header(request, 'X-Hub-Signature-256')),
  },
  { sdk: 'standardwebhooks', provider: 'standard-webhooks', secrets: whsec, ...standard(StandardWebhooks, 'webhook') },
  { sdk: 'svix', provider: 'standard-webhooks', source: 'svix', secrets: whsec, ...standard(Svix, 'svix'), send: false },
  {
    sdk: 'standardwebhooks', provider: 'gitlab', secrets: whsec, ...standard(StandardWebhooks, 'webhook'),
    more: { 'X-Gitlab-Event': 'Push Hook' },
  },
  {
    sdk: 'standardwebhooks', provider: 'bigcommerce', secrets: plain,
    ...standard(class extends StandardWebhooks { constructor(secret) { super(secret, { format: 'raw' }); } }, 'webhook'),
    sample: json({ scope: 'store/order/created', data: { id: 1 } }),
  },
  {
    sdk: 'twilio', provider: 'twilio', secrets: plain, signature: 'X-Twilio-Signature', type: 'application/x-www-form-urlencoded',
    sample: () => 'MessageSid=SM1&MessageStatus=sent&To=%2B15558675310&Body=a+b',
    sign: (body, secret) => {
      const parameters = Object.fromEntries(new URLSearchParams(body));
      const signature = twilio.getExpectedTwilioSignature(secret, `${PUBLIC}twilio`, parameters);
      return { headers: { 'X-Twilio-Signature': signature, 'I-Twilio-Idempotency-Token': 'token-1' }, body };
    },
    verify: (request, secret) =>
      twilio.validateRequest(secret, header(request, 'X-Twilio-Signature'), `${PUBLIC}twilio`, Object.fromEntries(new URLSearchParams(request.body))),
  },
  {
    sdk: '@adyen/api-library', provider: 'adyen', secrets: adyenKeys,
    signature: ['notificationItems', 0, 'NotificationRequestItem', 'additionalData', 'hmacSignature'],
    sample: json({ live: 'false', notificationItems: [{ NotificationRequestItem: {
      additionalData: {}, amount: { currency: 'EUR', value: 1130 }, eventCode: 'AUTHORISATION', merchantAccountCode: 'M',
      merchantReference: 'R', originalReference: '', pspReference: '7914073381342284', success: 'true' } }] }),
    sign: (body, secret) => {
      const document = JSON.parse(body);
      const item = document.notificationItems[0].NotificationRequestItem;
      item.additionalData.hmacSignature = new AdyenValidator().calculateHmac(item, secret);
      return { headers: {}, body: JSON.stringify(document) };
    },
    verify: (request, secret) =>
      JSON.parse(request.body).notificationItems.every((item) => new AdyenValidator().validateHMAC(item.NotificationRequestItem, secret)),
    bend: (body) => body.replace('"value":1130', '"value":1131'),
  },
  {
    sdk: '@adyen/api-library', provider: 'adyen-platform', secrets: adyenKeys, signature: 'HmacSignature',
    sample: json({ type: 'balancePlatform.transfer.created', timestamp: '2026-11-01T18:40:24Z', data: { id: '1' } }),
    sign: (body, secret) => ({ headers: { HmacSignature: new AdyenValidator().calculateHmac(body, secret) }, body }),
    verify: (request, secret) => new AdyenValidator().validateHMACSignature(secret, header(request, 'HmacSignature'), request.body),
  },
  {
    sdk: 'square', provider: 'square', secrets: plain, signature: 'x-square-hmacsha256-signature',
    sample: json({ event_id: 'e1', type: 'payment.updated' }),
    sign: (body, secret) => ({
      headers: { 'x-square-hmacsha256-signature': hmac('sha256', secret, `${PUBLIC}square${body}`, 'base64') }, body,
    }),
    verify: (request, secret) => Square.verifySignature({
      requestBody: request.body, signatureHeader: header(request, 'x-square-hmacsha256-signature'), signatureKey: secret,
      notificationUrl: `${PUBLIC}square`,
    }),
  },
  {
    sdk: '@paddle/paddle-node-sdk', provider: 'paddle', secrets: plain, signature: 'Paddle-Signature', tolerance: 5,
    sample: json({ event_id: 'evt_1', event_type: 'transaction.completed', occurred_at: '2026-11-01T00:00:00Z', data: {} }),
    sign: (body, secret, at) => ({
      headers: { 'Paddle-Signature': `ts=${seconds(at)};h1=${hmac('sha256', secret, `${seconds(at)}:${body}`, 'hex')}` }, body,
    }),
    verify: (request, secret) =>
      new paddle.Paddle('key').webhooks.isSignatureValid(request.body, secret, header(request, 'Paddle-Signature')),
  },
  {
    sdk: '@shopify/shopify-api', provider: 'shopify', secrets: plain, signature: 'X-Shopify-Hmac-Sha256',
    sample: json({ id: 820982911946154508n.toString(), line_items: [] }),
    sign: (body, secret) => ({
      headers: {
        'X-Shopify-Hmac-Sha256': hmac('sha256', secret, body, 'base64'), 'X-Shopify-Topic': 'orders/paid',
        'X-Shopify-Webhook-Id': 'b54557e4', 'X-Shopify-Shop-Domain': 'a.myshopify.com', 'X-Shopify-API-Version': '2026-10',
      },
      body,
    }),
    verify: async (request, secret) => {
      const api = shopifyApi({
        apiKey: 'key', apiSecretKey: secret, hostName: 'hooks.example.com', apiVersion: '2026-10', isEmbeddedApp: false,
        logger: { log: async () => {} },
      });
      // The library wants the headers that say which shop and version, which `oncehook send` leaves out.
      const headers = { 'X-Shopify-Shop-Domain': 'a.myshopify.com', 'X-Shopify-API-Version': '2026-10' };
      for (const [name, value] of Object.entries(request.headers)) headers[name.replace(/^shopify/i, 'X-Shopify')] = value;
      return (await api.webhooks.validate({ rawBody: request.body, rawRequest: { headers, method: 'POST', url: '/' } })).valid;
    },
  },
  {
    sdk: '@hubspot/api-client', provider: 'hubspot', secrets: plain, signature: 'X-HubSpot-Signature-v3', tolerance: 300,
    sample: json([{ eventId: 1, subscriptionId: 2, portalId: 3, objectId: 4, occurredAt: 5, subscriptionType: 'contact.creation' }]),
    sign: (body, secret, at) => ({
      headers: {
        'X-HubSpot-Request-Timestamp': String(at),
        'X-HubSpot-Signature-v3': HubSpot.getSignature('POST', 'v3', { url: `${PUBLIC}hubspot`, requestBody: body, timestamp: at, clientSecret: secret }),
      },
      body,
    }),
    verify: (request, secret) => throws(() => HubSpot.isValid({
      signatureVersion: 'v3', signature: header(request, 'X-HubSpot-Signature-v3'), clientSecret: secret, requestBody: request.body,
      url: `${PUBLIC}hubspot`, timestamp: Number(header(request, 'X-HubSpot-Request-Timestamp')),
    })),
  },
  {
    sdk: '@linear/sdk', provider: 'linear', secrets: plain, signature: 'Linear-Signature', tolerance: 60,
    sample: (at) => JSON.stringify({ action: 'create', type: 'Issue', data: {}, webhookTimestamp: at }),
    sign: (body, secret) => ({
      headers: { 'Linear-Delivery': '234d1a4e', 'Linear-Signature': hmac('sha256', secret, body, 'hex') }, body,
    }),
    verify: (request, secret) =>
      throws(() => new LinearWebhookClient(secret).verify(Buffer.from(request.body), header(request, 'Linear-Signature'))),
  },
  {
    sdk: 'razorpay', provider: 'razorpay', secrets: plain, signature: 'X-Razorpay-Signature',
    sample: json({ event: 'payment.captured' }),
    sign: (body, secret) => ({
      headers: { 'X-Razorpay-Signature': hmac('sha256', secret, body, 'hex'), 'x-razorpay-event-id': 'ev1' }, body,
    }),
    verify: (request, secret) => razorpay.validateWebhookSignature(request.body, header(request, 'X-Razorpay-Signature'), secret),
  },
  {
    sdk: 'coinbase-commerce-node', provider: 'coinbase-commerce', secrets: plain, signature: 'X-CC-Webhook-Signature',
    sample: json({ event: { id: 'e1', type: 'charge:created' } }),
    sign: (body, secret) => ({ headers: { 'X-CC-Webhook-Signature': coinbase.computeSignature(body, secret) }, body }),
    verify: (request, secret) => throws(() => coinbase.verifySigHeader(request.body, header(request, 'X-CC-Webhook-Signature'), secret)),
  },
  {
    sdk: 'discord-interactions', provider: 'discord', tolerance: 300, signature: 'X-Signature-Ed25519',
    // The source has the public key; what signs is private.
    secrets: ed25519.map((pair) => spki(pair).subarray(-32).toString('hex')),
    privateKey: ed25519[0].privateKey,
    sample: json({ id: 'i1', type: 2, data: { name: 'card' } }),
    sign: (body, secret, at, other) => ({
      headers: {
        'X-Signature-Timestamp': String(seconds(at)),
        'X-Signature-Ed25519': cryptoSign(null, Buffer.from(seconds(at) + body), ed25519[other ? 1 : 0].privateKey).toString('hex'),
      },
      body,
    }),
    verify: (request, secret) => discord.verifyKey(request.body, header(request, 'X-Signature-Ed25519'), header(request, 'X-Signature-Timestamp'), secret),
  },
  {
    sdk: '@sendgrid/eventwebhook', provider: 'sendgrid', tolerance: 86400, signature: 'X-Twilio-Email-Event-Webhook-Signature',
    secrets: p256.map((pair) => spki(pair).toString('base64')),
    privateKey: p256[0].privateKey,
    sample: () => '[{"sg_event_id":"e1","event":"open"}]\r\n',
    sign: (body, secret, at, other) => ({
      headers: {
        'X-Twilio-Email-Event-Webhook-Timestamp': String(seconds(at)),
        'X-Twilio-Email-Event-Webhook-Signature': cryptoSign('sha256', Buffer.from(seconds(at) + body), p256[other ? 1 : 0].privateKey).toString('base64'),
      },
      body,
    }),
    verify: (request, secret) => {
      const webhook = new EventWebhook();
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(secret), request.body,
        header(request, 'X-Twilio-Email-Event-Webhook-Signature'), header(request, 'X-Twilio-Email-Event-Webhook-Timestamp'));
    },
  },
  {
    sdk: '@slack/bolt', provider: 'slack', secrets: plain, signature: 'X-Slack-Signature', tolerance: 300,
    sample: json({ type: 'event_callback', event_id: 'Ev1', event: { type: 'app_mention' } }),
    sign: (body, secret, at) => ({
      headers: {
        'X-Slack-Request-Timestamp': String(seconds(at)),
        'X-Slack-Signature': `v0=${hmac('sha256', secret, `v0:${seconds(at)}:${body}`, 'hex')}`,
      },
      body,
    }),
    verify: (request, secret) => throws(() => verifySlackRequest({
      signingSecret: secret, body: request.body,
      headers: { 'x-slack-signature': header(request, 'X-Slack-Signature'), 'x-slack-request-timestamp': Number(header(request, 'X-Slack-Request-Timestamp')) },
    })),
  },
];

for (const one of cases) one.bend ??= flip;
export const version = (sdk) => {
  const path = require.resolve.paths(sdk)[0];
  return require(`${path}/${sdk}/package.json`).version;
};
export const pkcs8 = (key) => createPrivateKey(key.export({ type: 'pkcs8', format: 'pem' })).export({ type: 'pkcs8', format: 'der' }).toString('base64');
