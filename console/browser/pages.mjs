// How the pages are looked at: a browser, a person who is logged in, and everything that the browser complains about.

import { createRequire } from 'node:module';

import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const AXE = require('axe-core').source;

export const DESKTOP = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };
// By the name that a picture of it has.
export const PAGES = {
  overview: '/',
  webhooks: '/webhooks',
  webhook: '/webhooks/shopify/five-times',
  'webhook-parked': '/webhooks/shopify/no-such-sku',
  'webhook-failed': '/webhooks/shopify/mail-refused',
  parked: '/parked',
  outbox: '/outbox',
  'outbox-failing': '/outbox?show=failing',
  inventory: '/inventory',
  'inventory-missing': '/inventory?sku=CAP-GREEN',
  sources: '/sources',
  audit: '/audit',
  'audit-entry': '/audit/1',
  jobs: '/jobs',
  docs: '/api/docs/',
};

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
}

// A browser's window. `complaints` collects what scripts and the content security policy had to say.
export async function open(browser, url, { viewport = DESKTOP, colorScheme = 'light', scale = 1, timezoneId = 'Europe/Berlin' } = {}) {
  const context = await browser.newContext({
    baseURL: url, viewport, colorScheme, deviceScaleFactor: scale, locale: 'en-GB', timezoneId, reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
  return Object.assign(page, { complaints });
}

export async function logIn(page, token, next = '/') {
  await page.goto(next);
  await page.fill('#token', token);
  await page.fill('#person', 'Ada');
  await page.click('button[type=submit]');
  await page.waitForSelector('header.top');
}

// Opens a page and waits until it stands: what scripts draw, too.
export async function visit(page, path) {
  await page.goto(path);
  if (path === '/') await charts(page);
  if (path.startsWith('/api/docs')) await page.waitForSelector('.opblock');
}

// Every chart has points and ink.
export async function charts(page) {
  await page.waitForFunction(() => {
    const all = [...document.querySelectorAll('.chart canvas')];
    const inked = (canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, at) => at % 4 === 3 && value > 0);
    };
    return all.length === document.querySelectorAll('[data-chart]').length && all.every(inked);
  });
}

// What axe calls serious or critical, a line each.
export async function barriers(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} (${node.failureSummary?.replaceAll(/\s+/g, ' ')})`));
}

// How many pixels the page is wider than its window.
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
