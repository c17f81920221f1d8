// Interop: what the providers' own libraries sign is accepted by a running ingest, what is bent is refused, and what
// `oncehook send` signs is genuine to the libraries. Started by dev/interop, which builds and installs.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { PUBLIC, cases, pkcs8, version } from './sdks.mjs';

const require = createRequire(import.meta.url);
const [bin] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'oncehook-interop-'));
const environment = { PATH: process.env.PATH, AMQP_URL: 'amqp://127.0.0.1:1/%2f', SPOOL_DIR: join(folder, 'spool') };
const config = join(folder, 'oncehook.toml');
const logged = [];

// No broker: webhooks go to the spool, which answers as well.
function writeConfig() {
  let text = '';
  for (const [number, one] of cases.entries()) {
    one.name = one.source ?? one.provider;
    const file = join(folder, `secret-${number}`);
    writeFileSync(file, one.secrets[0]);
    const url = ['twilio', 'square', 'hubspot'].includes(one.provider) ? `public_url = "${PUBLIC}${one.provider}"\n` : '';
    text += `[sources.${one.name}]\nprovider = "${one.provider}"\nsecrets = [{ file = "${file}" }]\n${url}`;
  }
  writeFileSync(config, text);
}

async function startIngest() {
  const child = spawn(join(bin, 'ingest'), [], {
    env: { ...environment, ONCEHOOK_CONFIG: config, INGEST_LISTEN: '127.0.0.1:0', OPS_LISTEN: '127.0.0.1:0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const entry = line.startsWith('{') ? JSON.parse(line) : { message: line };
      logged.push(entry);
      if (entry.message === 'ingest is listening') resolve({ child, port: entry.port });
    });
    child.once('exit', () => reject(new Error(`ingest ended:\n${logged.map((entry) => JSON.stringify(entry)).join('\n')}`)));
  });
}

function startPython() {
  const child = spawn('/usr/bin/python3', [new URL('python_sdks.py', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()(JSON.parse(line)));
  const ended = new Promise((_resolve, reject) => child.once('exit', () => reject(new Error('the Python libraries ended'))));
  ended.catch(() => {});
  const ask = (question) => Promise.race([ended, new Promise((resolve) => {
    waiting.push(resolve);
    child.stdin.write(`${JSON.stringify(question)}\n`);
  })]);
  return { ask, end: () => child.stdin.end() };
}

// Header values that are lists are sent as so many lines.
function post(port, name, { headers, body, type = 'application/json' }) {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: `/webhooks/${name}`, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: answer.statusCode, text }));
    });
    sent.on('error', reject);
    for (const [header, value] of Object.entries(headers)) sent.setHeader(header, value);
    sent.setHeader('content-type', type);
    sent.end(body);
  });
}

// The same request with its signature changed by `change`; undefined takes it away.
function withSignature(one, request, change) {
  if (typeof one.signature === 'string') {
    const headers = { ...request.headers };
    const value = change(headers[one.signature]);
    delete headers[one.signature];
    if (value !== undefined) headers[one.signature] = value;
    return { ...request, headers };
  }
  const document = JSON.parse(request.body);
  const last = one.signature.at(-1);
  const parent = one.signature.slice(0, -1).reduce((value, step) => value[step], document);
  parent[last] = change(parent[last]);
  return { ...request, body: JSON.stringify(document) };
}

function flipBit(text) {
  // The last but third character: not padding, and within what every encoding reads.
  const position = text.length - 4;
  const other = text[position] === 'a' ? 'b' : 'a';
  return text.slice(0, position) + other + text.slice(position + 1);
}

async function bent(one, request, at) {
  const sign = async (secret, when, other) => {
    const signed = await one.sign(one.sample(when), secret, when, other);
    return { ...request, ...signed, headers: { ...signed.headers, ...one.more } };
  };
  const all = {
    'the body changed': { ...request, body: one.bend(request.body) },
    'the signature changed': withSignature(one, request, flipBit),
    'another secret': await sign(one.secrets[1], at, true),
    'no signature': withSignature(one, request, () => undefined),
    'an empty signature': withSignature(one, request, () => ''),
  };
  if (typeof one.signature === 'string') all['the signature twice'] = withSignature(one, request, (value) => [value, value]);
  if (one.tolerance) {
    all['too old'] = await sign(one.secrets[0], at - (one.tolerance + 10) * 1000);
    all['from the future'] = await sign(one.secrets[0], at + (one.tolerance + 10) * 1000);
  }
  return all;
}

async function receives(port, one) {
  const at = Date.now();
  const signed = await one.sign(one.sample(at), one.secrets[0], at);
  const request = { ...signed, headers: { ...signed.headers, ...one.more }, type: one.type };
  assert.ok(await one.verify(request, one.secrets[0]), `${one.sdk} does not call its own request genuine`);
  const accepted = await post(port, one.name, request);
  assert.equal(accepted.status, 200, `${one.name}: genuine, and answered ${accepted.status} ${accepted.text}`);
  const attempts = await bent(one, request, at);
  for (const [what, attempt] of Object.entries(attempts)) {
    const answer = await post(port, one.name, attempt);
    assert.equal(answer.status, 401, `${one.name}: ${what}, and answered ${answer.status} ${answer.text}`);
  }
  return Object.keys(attempts).length;
}

async function sends(one, python) {
  if (one.send === false) return [];
  const args = ['--config', config, '--output', 'json', 'send', one.provider, '--source', one.name, '--print'];
  if (one.privateKey) {
    const file = join(folder, `key-${one.name}`);
    writeFileSync(file, pkcs8(one.privateKey));
    args.push('--private-key', file);
  }
  const { stdout } = await promisify(execFile)(join(bin, 'oncehook'), args, { env: environment });
  const shown = JSON.parse(stdout);
  const request = { headers: Object.fromEntries(shown.headers), body: shown.body };
  assert.ok(await one.verify(request, one.secrets[0]), `${one.sdk} does not call what oncehook sends as ${one.provider} genuine`);
  assert.ok(!(await one.verify(request, one.secrets[1])), `${one.sdk} calls anything genuine`);
  const question = { ...request, provider: one.provider, url: `${PUBLIC}${one.provider}` };
  const [right, wrong] = [await python.ask({ ...question, secret: one.secrets[0] }), await python.ask({ ...question, secret: one.secrets[1] })];
  if (right.sdk === null) return [];
  assert.ok(right.genuine && !wrong.genuine, `${right.sdk}: ${right.genuine}, ${wrong.genuine}`);
  return [right.sdk];
}

// Every payload that GitHub publishes, signed by its library, with the id and topic that ingest found.
async function receivesRealPayloads(port) {
  const github = cases.find((one) => one.provider === 'github');
  const examples = require('@octokit/webhooks-examples');
  const payloads = (examples.default ?? examples).flatMap(({ name, examples: bodies }) => bodies.map((body) => ({ name, body })));
  const expected = new Map();
  for (const [number, { name, body }] of payloads.entries()) {
    const signed = await github.sign(JSON.stringify(body), github.secrets[0]);
    const id = `real-${number}`;
    expected.set(id, name);
    const request = { ...signed, headers: { ...signed.headers, 'X-GitHub-Delivery': id, 'X-GitHub-Event': name } };
    const answer = await post(port, 'github', request);
    assert.deepEqual([answer.status, JSON.parse(answer.text).id], [200, id]);
  }
  const named = () => logged.filter((entry) => expected.has(entry['webhook.id']));
  for (let patience = 200; named().length < payloads.length && patience > 0; patience -= 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(named().length, payloads.length, 'every real payload is logged, once');
  for (const entry of named()) assert.equal(entry['webhook.topic'], expected.get(entry['webhook.id']));
  return payloads.length;
}

writeConfig();
const { child, port } = await startIngest();
const python = startPython();
try {
  const libraries = new Set();
  let refused = 0;
  for (const one of cases) {
    refused += await receives(port, one);
    libraries.add(`${one.sdk} ${version(one.sdk)} (npm)`);
    for (const sdk of await sends(one, python)) libraries.add(sdk);
  }
  const sent = await receivesRealPayloads(port);
  assert.ok(libraries.size >= 15, `only ${libraries.size} libraries`);
  for (const library of [...libraries].sort()) console.log(`  ${library}`);
  console.log(`interop: ${libraries.size} libraries, ${cases.length} sources accepted, ${refused} bent requests refused, ${sent} real GitHub payloads accepted and named`);
} finally {
  python.end();
  child.removeAllListeners('exit');
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('exit', resolve));
  rmSync(folder, { recursive: true });
}
