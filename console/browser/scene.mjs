// A whole installation for the browser to look at: ingest, two workers and the console on a database and a broker's virtual
// host of their own, and webhooks of every fate that a shop sees.

import { execFile, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SECRET = randomBytes(24).toString('hex');
export const OPERATOR = 'operator-token-of-this-run';
export const VIEWER = 'viewer-token-of-this-run';
const PATIENCE_MS = 30_000;
// How long the services may take to end; a worker drains.
const END_PATIENCE_MS = 20_000;

// Asks until the answer is not false, at most so long.
export async function until(what, ask, patience_ms = PATIENCE_MS, pause_ms = 50) {
  const end = Date.now() + patience_ms;
  let last;
  while (Date.now() < end) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
  }
  throw new Error(`${patience_ms / 1000} s, and not yet: ${what}`, { cause: last });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export class Scene {
  constructor(bin, repository) {
    Object.assign(this, { bin, repository, children: [], name: `browser_${randomBytes(4).toString('hex')}` });
    this.folder = mkdtempSync(join(tmpdir(), 'oncehook-browser-'));
    this.admin = process.env.DATABASE_URL;
  }

  async start() {
    await this.makeRoom();
    const ports = await Promise.all(Array.from({ length: 6 }, freePort));
    const [ingest, ingestOps, worker1, worker2, console_, consoleOps] = ports.map((port) => `127.0.0.1:${port}`);
    const config = join(this.folder, 'oncehook.toml');
    writeFileSync(config, readFileSync(join(this.repository, 'oncehook.toml')));
    this.ingest = `http://${ingest}`;
    this.url = `http://${console_}`;
    this.environment = {
      PATH: process.env.PATH,
      DATABASE_URL: this.database, AMQP_URL: this.broker, SMTP_URL: process.env.SMTP_URL, ONCEHOOK_CONFIG: config,
      SHOPIFY_WEBHOOK_SECRET: SECRET, GITHUB_WEBHOOK_SECRET: SECRET, GENERIC_WEBHOOK_SECRET: SECRET,
      STANDARD_WEBHOOKS_SECRET: `whsec_${randomBytes(24).toString('base64')}`,
      MAIL_FROM: 'orders@shop.example', OPERATOR_EMAIL: 'operator@shop.example', SPOOL_DIR: join(this.folder, 'spool'),
      CONSOLE_OPERATOR_TOKEN: OPERATOR, CONSOLE_VIEWER_TOKEN: VIEWER, INGEST_OPS_URL: `http://${ingestOps}`,
      RABBITMQ_METRICS_URL: process.env.RABBITMQ_METRICS_URL,
      WORKER_OPS_URL: `http://${worker1},http://${worker2}`,
    };
    await run(join(this.bin, 'worker'), ['migrate'], { env: this.environment });
    this.spawn('ingest', 'ingest', [], { INGEST_LISTEN: ingest, OPS_LISTEN: ingestOps });
    this.spawn('worker-1', 'worker', [], { OPS_LISTEN: worker1 });
    this.spawn('worker-2', 'worker', [], { OPS_LISTEN: worker2 });
    this.startConsole = () => this.spawn('console', 'oncehook', ['console'], { CONSOLE_LISTEN: console_, OPS_LISTEN: consoleOps });
    this.console = this.startConsole();
    for (const ops of [ingestOps, worker1, worker2, consoleOps]) {
      await until(`${ops} is ready`, async () => (await fetch(`http://${ops}/readyz`)).ok);
    }
    // What is counted before the console's first look is not of its time.
    await until('the console sees the others', async () => {
      const { workers, spools, queues } = await this.api('/overview');
      return workers.length === 2 && workers.every(({ misses }) => misses.length === 0) && spools.length === 1 && queues.length > 0;
    });
  }

  async makeRoom() {
    await run('psql', [this.admin, '-qc', `CREATE DATABASE ${this.name}`]);
    const database = new URL(this.admin);
    database.pathname = this.name;
    this.database = database.href;
    const broker = new URL(process.env.AMQP_URL);
    await this.management('PUT', `vhosts/${this.name}`);
    const all = { configure: '.*', write: '.*', read: '.*' };
    await this.management('PUT', `permissions/${this.name}/${broker.username}`, all);
    broker.pathname = this.name;
    this.broker = broker.href;
  }

  async management(method, path, body = {}) {
    const url = new URL(process.env.RABBITMQ_API_URL);
    const headers = { authorization: `Basic ${btoa(`${url.username}:${url.password}`)}`, 'content-type': 'application/json' };
    const answer = await fetch(`${url.origin}/api/${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  }

  spawn(name, program, words, settings) {
    const child = spawn(join(this.bin, program), words, {
      env: { ...this.environment, ...settings }, stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.pipe(createWriteStream(join(this.folder, `${name}.log`)));
    // A program that cannot be started never exits.
    child.ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
    this.children.push(child);
    return child;
  }

  // The command line, on this installation.
  async oncehook(...words) {
    return (await run(join(this.bin, 'oncehook'), words, { env: this.environment })).stdout;
  }

  // What the console's API says, or does with a document.
  async api(path, document) {
    const headers = { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' };
    const acts = document && { method: 'POST', body: JSON.stringify(document) };
    const answer = await fetch(`${this.url}/api/v1${path}`, { headers, ...acts });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // Sends an order as Shopify does; `secret` signs it.
  async order(id, { number, email, lines, test = false, secret = SECRET, topic = 'orders/paid' }) {
    const body = JSON.stringify({
      id: 5_000_000_000_000 + number, name: `#${number}`, email, currency: 'EUR', test,
      total_price: lines.reduce((sum, line) => sum + line.quantity * 12.5, 4.9).toFixed(2),
      customer: { first_name: 'Zoë', last_name: 'Müller' },
      line_items: lines.map((line, at) => ({ id: number * 10 + at, title: `Mug “Äpfel & Birnen” ${at + 1}`, price: '12.50', ...line })),
    });
    const answer = await fetch(`${this.ingest}/webhooks/shopify`, {
      method: 'POST', body,
      headers: {
        'content-type': 'application/json', 'x-shopify-topic': topic, 'x-shopify-webhook-id': id,
        'x-shopify-shop-domain': 'oncehook-demo.myshopify.com', 'x-shopify-triggered-at': new Date().toISOString(),
        'x-shopify-hmac-sha256': createHmac('sha256', secret).update(body).digest('base64'),
      },
    });
    return answer.status;
  }

  // Ends all of it and leaves nothing, but for the logs where something failed. Each step by itself: what does not end, or
  // was never there, keeps nothing else from its end.
  async end({ failed = false } = {}) {
    for (const child of this.children) child.kill('SIGTERM');
    const late = setTimeout(() => this.children.forEach((child) => child.kill('SIGKILL')), END_PATIENCE_MS);
    await Promise.all(this.children.map((child) => child.ended));
    clearTimeout(late);
    const ended = await Promise.allSettled([
      this.management('DELETE', `vhosts/${this.name}`),
      run('psql', [this.admin, '-qc', `DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`], { timeout: END_PATIENCE_MS }),
    ]);
    for (const { reason } of ended.filter(({ status }) => status === 'rejected')) console.log(`  left behind: ${reason.message}`);
    if (failed) console.log(`  the services' logs: ${this.folder}`);
    else rmSync(this.folder, { recursive: true, force: true });
  }
}

// Webhooks of every fate. Returns when each has met its own.
export async function play(scene) {
  await scene.oncehook('inventory', 'set', 'MUG-APFEL', '100000');
  const mug = [{ sku: 'MUG-APFEL', quantity: 2 }];
  const sent = [];
  const send = async (id, order) => sent.push([id, await scene.order(id, order)]);
  for (let n = 1; n <= 40; n += 1) {
    await send(`b1c9f0de-0000-4000-8000-${String(n).padStart(12, '0')}`, { number: 1000 + n, email: `buyer-${n}@example.com`, lines: mug });
  }
  await send('twice', { number: 1051, email: 'ana@example.com', lines: mug });
  await send('twice', { number: 1051, email: 'ana@example.com', lines: mug });
  for (let n = 0; n < 5; n += 1) await send('five-times', { number: 1052, email: 'jo@example.com', lines: mug });
  await send('trial', { number: 1053, email: 'test@example.com', lines: mug, test: true });
  await send('no-such-sku', { number: 1054, email: 'hanako@example.com', lines: [{ sku: 'CAP-RED', quantity: 1 }] });
  await send('no-such-sku-either', { number: 1055, email: 'soren@example.com', lines: [{ sku: 'TEE-BLACK-M', quantity: 3 }] });
  await send('broken-map', { number: 1056, email: 'an@example.com', lines: [{ sku: 'MUG-APFEL', quantity: -1.5 }] });
  await send('mail-refused', { number: 1057, email: 'reject-permanent@example.com', lines: mug });
  await send('mail-later', { number: 1058, email: 'reject-temporary@example.com', lines: mug });
  await send('forged', { number: 1059, email: 'mallory@example.com', lines: mug, secret: 'guessed' });
  await scene.oncehook('send', 'github', '--to', scene.ingest);
  for (const [id, status] of sent) {
    if (status !== (id === 'forged' ? 401 : 200)) throw new Error(`${id} was answered ${status}`);
  }
  await until('all webhooks have met their fate', async () => {
    const [parked, effects, five] = await Promise.all([
      scene.api('/parked'), scene.api('/outbox'), scene.api('/webhooks/shopify/five-times'),
    ]);
    return parked.parked.length === 3 && effects.effects.length >= 1 && five.now.duplicates === 4;
  });
}
