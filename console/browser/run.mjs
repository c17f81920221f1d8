// The console in a real browser, on a real installation. Started by dev/browser, which builds and installs.
//
//   run.mjs BINARIES                 the tests
//   run.mjs BINARIES --look FOLDER   a picture of every page, wide and narrow, light and dark, to look at
//   run.mjs BINARIES --screenshots FOLDER   those of the README

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { look, screenshots } from './look.mjs';
import { barriers, DESKTOP, launch, logIn, open, overflow, PAGES, PHONE, visit } from './pages.mjs';
import { OPERATOR, play, Scene, until, VIEWER } from './scene.mjs';

const [bin, what, folder] = process.argv.slice(2);
const repository = fileURLToPath(new URL('../..', import.meta.url));
const scene = new Scene(bin, repository);
// A page that is not there, which is one too.
const NOWHERE = '/webhooks/shopify/nobody-sent-it';
let browser;

const text = (page, selector) => page.locator(selector).innerText();
const shows = (page, selector) => page.locator(selector).count();

// Parks as many orders as a page shows rows, for want of a SKU; how many there are, and how many wait.
async function parkMany(sku, first) {
  const numbers = Array.from({ length: 40 }, (_, at) => first + at);
  await Promise.all(numbers.map((number) => scene.order(`${sku}-${number}`, { number, email: '', lines: [{ sku, quantity: 1 }] })));
  const waiting = async () => (await scene.api('/parked?state=parked')).parked.filter(({ webhook_id }) => webhook_id.startsWith(sku)).length;
  await until('all of them are parked', async () => (await waiting()) === numbers.length);
  return { count: numbers.length, waiting };
}

const tests = {
  async 'without a token there is no page, and a wrong one opens none'() {
    const page = await open(browser, scene.url);
    for (const path of Object.values(PAGES).filter((path) => !path.startsWith('/api'))) {
      await page.goto(path);
      assert.equal(await shows(page, '#token'), 1, `${path} asks for a token`);
      assert.equal(await shows(page, 'header.top'), 0, `${path} shows nothing`);
    }
    await page.fill('#token', 'a-token-that-somebody-guessed');
    await page.click('button[type=submit]');
    await page.waitForSelector('[role=alert]');
    const cookies = await page.context().cookies();
    assert.deepEqual(cookies, [], 'and no session');
    page.complaints.length = 0; // the browser tells of the 401
    return page;
  },

  async 'who logs in comes back to where they were'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/parked?reason=plan');
    assert.equal(new URL(page.url()).search, '?reason=plan');
    assert.equal(await shows(page, '#parked tbody tr'), 1);
    await page.click('text=Log out');
    await page.goto('/parked');
    assert.equal(await shows(page, '#token'), 1, 'logged out');
    return page;
  },

  async 'the overview says what is wrong, draws, and goes on by itself'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR);
    await visit(page, '/');
    const verdictSays = (words) => page.waitForFunction((words) => document.querySelector('#verdict').innerText.includes(words), words);
    await verdictSays('parked: unknown-sku (2)');
    await scene.order('while-looking', { number: 1101, email: '', lines: [{ sku: 'TEE-RED', quantity: 1 }] });
    await verdictSays('parked: unknown-sku (3)');
    await page.waitForFunction(() => Number.parseFloat(document.querySelector('[data-rate=Received] dd').innerText) > 0);
    await page.waitForFunction(() => /^[\d.]+ m?s$/.test(document.querySelector('[data-latency=p50] dd').innerText));
    return page;
  },

  async 'the overview is walked by keyboard while it goes on by itself, and tells who does not see it what has changed'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR);
    await visit(page, '/');
    const focused = () => page.evaluate(() => document.activeElement.id);
    const refreshes = async (count) => {
      await page.evaluate(() => {
        globalThis.refreshes = 0;
        document.addEventListener('htmx:afterSettle', () => { globalThis.refreshes += 1; });
      });
      await page.waitForFunction((count) => globalThis.refreshes >= count, count);
    };
    for (const link of ['concern-parked-1', 'to-outbox']) {
      for (let tabs = 0; tabs < 40 && (await focused()) !== link; tabs += 1) await page.keyboard.press('Tab');
      assert.equal(await focused(), link, 'it is reached by Tab');
      await refreshes(3);
      assert.equal(await focused(), link, 'and keeps the focus while what is around it is made anew');
    }
    assert.equal(await text(page, '#announced'), '', 'nothing has changed: numbers and ages are not told');
    const announced = (words) => page.waitForFunction((words) => document.querySelector('#announced').innerText.includes(words), words);
    assert.equal(await page.getAttribute('#announced', 'role'), 'status');
    await scene.oncehook('outbox', 'pause', 'operator-alert', '--because', 'it is quiet', '--by', 'Ada');
    await announced('operator-alert is paused by Ada');
    await scene.oncehook('outbox', 'resume', 'operator-alert');
    await page.waitForFunction(() => !document.querySelector('#announced').innerText.includes('operator-alert is paused'));
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname === '/outbox');
    return page;
  },

  async 'keys lead to pages, through rows and to the dark'() {
    const page = await open(browser, scene.url);
    await logIn(page, VIEWER);
    for (const [key, path] of [['w', '/webhooks'], ['p', '/parked'], ['x', '/outbox'], ['i', '/inventory'], ['s', '/sources'], ['a', '/audit'], ['o', '/'], ['w', '/webhooks']]) {
      await page.keyboard.press('g');
      await page.keyboard.press(key);
      await page.waitForURL((url) => url.pathname === path);
      await page.waitForSelector('header.top');
    }
    const rows = await page.locator('main a.row-link').allInnerTexts();
    const focused = () => page.evaluate(() => document.activeElement.innerText);
    for (const [key, row] of [['j', 0], ['j', 1], ['j', 2], ['k', 1]]) {
      await page.keyboard.press(key);
      assert.equal(await focused(), rows[row], key);
    }
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    await page.keyboard.press('t');
    assert.notEqual(await ground(), before);
    await page.keyboard.press('t');
    assert.equal(await ground(), before);
    await page.fill('input[name=text]', 'gt');
    await page.keyboard.press('j');
    assert.equal(await page.inputValue('input[name=text]'), 'gtj', 'who writes is not led anywhere');
    return page;
  },

  async 'a webhook is found by its id, by a key and by a text of its body'() {
    const page = await open(browser, scene.url);
    await logIn(page, VIEWER, '/webhooks');
    const rows = () => page.locator('table.list tbody a.row-link').allInnerTexts();
    for (const [field, value, id] of [['q', 'five-times', 'five-times'], ['q', '#1054', 'no-such-sku'], ['q', '1054', 'no-such-sku'], ['text', 'ana@example.com', 'twice']]) {
      await page.goto('/webhooks');
      await page.fill(`input[name=${field}]`, value);
      await page.click('text=Search');
      await page.waitForURL((url) => url.searchParams.get(field) === value);
      assert.deepEqual(await rows(), [id], `${field} ${value}`);
    }
    await page.goto('/webhooks?q=nothing-like-it');
    assert.match(await text(page, '.empty'), /No webhook matches/);
    await page.goto('/webhooks');
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.name), 'q', 'a key leads to the search');
    await page.goto('/webhooks/shopify/twice');
    assert.match(await text(page, 'main'), /arrived again once/);
    assert.match(await text(page, '.body'), /"name": "#1051"/);
    const shown = await page.locator('.timeline time').first().innerText();
    const stamp = new Date(await page.locator('.timeline time').first().getAttribute('datetime'));
    const here = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/Berlin' }).format(stamp);
    assert.ok(shown.includes(here), `${shown} is in the viewer's zone (${here})`);
    return page;
  },

  async 'a time is entered in the viewer\'s zone, and means the same instant in every other'() {
    const berlin = await open(browser, scene.url);
    await logIn(berlin, VIEWER, '/webhooks');
    const { received_at } = (await scene.api('/webhooks/shopify/twice')).now;
    const there = (moment) => new Date(moment).toLocaleString('sv-SE', { timeZone: 'Europe/Berlin' }).replace(' ', 'T');
    const [before, after] = [-3_600_000, 3_600_000].map((ms) => Math.trunc((Date.parse(received_at) + ms) / 1000) * 1000);
    await berlin.fill('input[name=since]', '7d');
    await berlin.fill('input[name=since_at]', there(before));
    assert.equal(await berlin.inputValue('input[name=since]'), '', 'a moment is entered in one of the two');
    await berlin.fill('input[name=until_at]', there(after));
    await berlin.click('text=Search');
    await berlin.waitForURL((url) => url.searchParams.has('until'));
    const { searchParams } = new URL(berlin.url());
    const utc = (moment) => new Date(moment).toISOString().replace('.000Z', 'Z');
    assert.deepEqual([...searchParams], [['since', utc(before)], ['until', utc(after)]]);
    assert.ok(await shows(berlin, 'a.row-link[href$="/twice"]'), 'it lies between');
    assert.equal(Date.parse(await berlin.inputValue('input[name=since_at]')), Date.parse(there(before)), 'and is shown as it was entered');
    // Whoever is sent the address reads it in their own zone.
    const tokyo = await open(browser, scene.url, { timezoneId: 'Asia/Tokyo' });
    await logIn(tokyo, VIEWER, `/parked${new URL(berlin.url()).search}`);
    assert.equal(Date.parse(`${await tokyo.inputValue('input[name=since_at]')}+09:00`), before);
    await tokyo.context().close();
    await berlin.fill('input[name=until_at]', there(before));
    await berlin.fill('input[name=since]', '7d');
    assert.equal(await berlin.inputValue('input[name=since_at]'), '');
    await berlin.click('text=Search');
    await berlin.waitForURL((url) => url.searchParams.get('since') === '7d');
    assert.equal(await shows(berlin, 'a.row-link[href$="/twice"]'), 0, 'it lies behind');
    // How far a search came is a moment of the viewer's, too.
    await berlin.goto('/webhooks?q=nothing-like-it');
    assert.match(await text(berlin, '#still-waiting'), /on its way|on their way/);
    return berlin;
  },

  async 'a viewer may look and not act'() {
    const page = await open(browser, scene.url);
    await logIn(page, VIEWER, '/parked');
    for (const path of ['/parked', '/outbox', '/inventory', '/webhooks/shopify/no-such-sku', '/webhooks/shopify/twice']) {
      await page.goto(path);
      assert.equal(await shows(page, 'main button[name], main [type=checkbox], #set'), 0, `${path} offers nothing to do`);
    }
    const status = await page.evaluate(async () => {
      const body = new URLSearchParams({ csrf: document.body.dataset.csrf, key: 'shopify/no-such-sku', do: 'redrive', run: 'do' });
      return (await fetch('/parked/act', { method: 'POST', body })).status;
    });
    assert.equal(status, 403, 'nor is it done when asked for all the same');
    assert.equal((await scene.api('/parked?state=parked')).parked.filter(({ webhook_id }) => webhook_id === 'no-such-sku').length, 1);
    page.complaints.length = 0; // the browser tells of the 403
    return page;
  },

  async 'what is parked is redriven once its cause is mended'() {
    await scene.oncehook('inventory', 'set', 'CAP-RED', '7');
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/parked');
    await page.click('text=Dry run');
    assert.equal(await text(page, '[data-checked]'), 'nothing is selected');
    await page.check('[aria-label="Select no-such-sku"]');
    assert.equal(await text(page, '[data-checked]'), '1 selected');
    await page.click('text=Dry run');
    await page.waitForSelector('[data-job-state=ended]');
    assert.match(await text(page, '.report'), /1 webhook would be redriven/);
    assert.deepEqual(await barriers(page), [], 'the page of a job');
    assert.equal((await scene.api('/webhooks/shopify/no-such-sku')).now.status, 'parked', 'a dry run does nothing');
    await page.click('text=Do it');
    await page.waitForSelector('[data-job-state=ended] .report');
    await until('it is processed', async () => (await scene.api('/webhooks/shopify/no-such-sku')).now.status === 'completed');
    await page.goto('/webhooks/shopify/no-such-sku');
    assert.equal(await text(page, '#status'), 'completed');
    assert.match(await scene.oncehook('inventory', 'show'), /CAP-RED\s+6\b/, 'one cap was sold');
    await page.goto('/audit');
    assert.match(await text(page, 'table.list'), /Ada[^]*redrive/);
    return page;
  },

  async 'a job shows how far it is, by itself, until it is done'() {
    const { count, waiting } = await parkMany('JIB-BLUE', 1100);
    await scene.oncehook('inventory', 'set', 'JIB-BLUE', '100');
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR);
    const { id } = await scene.api('/parked/redrive', { filter: { reason: 'unknown-sku' }, rate: 1 });
    await page.goto(`/jobs/${id}`);
    const progress = page.locator('[data-job-state=running] progress');
    await page.waitForFunction(() => document.querySelector('[data-job-state=running] progress')?.value > 0);
    assert.ok(Number(await progress.getAttribute('max')) >= count);
    assert.deepEqual(await barriers(page), [], 'a job that runs');
    await page.click('text=Stop');
    await page.waitForSelector('[data-job-state=ended] .report');
    assert.equal(await shows(page, 'progress, form[action$=stop]'), 0);
    assert.match(await text(page, '.report'), /redriven[^]*! stopped: interrupted/);
    await page.click('text=All jobs');
    assert.match(await text(page, 'table.list tbody tr:first-child'), /parked\.redrive reason=unknown-sku[^]*stopped/);
    await scene.api('/parked/redrive', { filter: { reason: 'unknown-sku' }, rate: 0 });
    await until('all of them are processed', async () => (await waiting()) === 0);
    return page;
  },

  async 'a processed webhook is replayed'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/webhooks/shopify/twice');
    await page.fill('#replay input[name=name]', 'of-this-test');
    await page.click('#replay button[value=do]');
    await page.waitForSelector('[data-job-state=ended]');
    await until('it ran', async () => (await scene.api('/webhooks/shopify/twice')).replays.length === 1);
    await page.goto('/webhooks/shopify/twice');
    assert.equal(await shows(page, '#replays-title'), 1);
    return page;
  },

  async 'a mail that was refused is sent again, and a destination paused'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/outbox');
    const effect = async () => (await scene.api('/webhooks/shopify/mail-refused')).effects[0];
    const { settled_at: before } = await effect();
    await page.check('#outbox tbody input[name=id]');
    await page.click('#outbox button[value=resend]');
    await page.waitForSelector('.note.good');
    await until('it is refused again', async () => {
      const { state, settled_at: after } = await effect();
      return state === 'failed' && after !== before;
    });
    await page.goto('/outbox');
    await page.fill('[data-effect=order-confirmation] input[name=because]', 'the server moves');
    await page.click('[data-effect=order-confirmation] button');
    assert.match(await text(page, '[data-effect=order-confirmation]'), /paused[^]*Ada: the server moves/);
    await page.click('[data-effect=order-confirmation] button');
    assert.doesNotMatch(await text(page, '[data-effect=order-confirmation]'), /the server moves/);
    return page;
  },

  async 'what fails is found among what is fresh, and all that match are acted on after a dry run'() {
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/outbox?show=failing');
    assert.equal(await shows(page, '#outbox a[href$="/mail-later"]'), 1, 'its server says later, each time');
    assert.match(await text(page, '#outbox thead'), /Next attempt/);
    await page.goto('/outbox');
    await page.fill('input[name=webhook]', 'mail-later');
    await page.click('[role=search] button');
    await page.waitForURL((url) => url.searchParams.get('webhook') === 'mail-later');
    assert.equal(await shows(page, '#outbox tbody tr'), 1);
    await page.goto('/outbox?show=failing&effect=order-confirmation');
    await page.check('#outbox input[value=filter]');
    await page.click('#outbox button[value=hold]');
    await page.waitForSelector('[data-job-state=ended]');
    assert.match(await text(page, '.report'), /would be held; nothing is changed/);
    await page.click('text=Do it');
    await page.waitForSelector('[data-job-state=ended] .report');
    const { effects: [{ state }] } = await scene.api('/webhooks/shopify/mail-later');
    assert.equal(state, 'held');
    await page.goto('/webhooks/shopify/mail-later');
    assert.match(await text(page, '.timeline'), /attempt 1 failed, to be sent again: .*451/);
    await page.goto('/audit');
    await page.click('table.list tbody tr:first-child a.row-link');
    assert.match(await text(page, 'main'), /outbox\.hold[^]*"show": "failing"/);
    return page;
  },

  async "an order's mail that did not go out is found, mended and sent, as the README says"() {
    const refused = `reject-once-${Date.now()}@example.com`;
    await scene.order('of-1061', { number: 1061, email: 'ada@example.com', lines: [{ sku: 'MUG-GREEN', quantity: 1 }] });
    await scene.order('of-1062', { number: 1062, email: refused, lines: [{ sku: 'MUG-APFEL', quantity: 1 }] });
    const story = (id) => scene.api(`/webhooks/shopify/${id}`);
    const mail = async (id) => (await story(id)).effects.find(({ effect }) => effect === 'order-confirmation')?.state;
    await until('both have met their fate', async () => (await story('of-1061')).now.status === 'parked' && (await mail('of-1062')) === 'failed');
    const page = await open(browser, scene.url);
    await logIn(page, OPERATOR, '/webhooks');
    const find = async (order) => {
      await page.goto('/webhooks');
      await page.fill('input[name=q]', order);
      await page.click('text=Search');
      await page.waitForURL((url) => url.searchParams.get('q') === order);
      await page.click('table.list a.row-link');
      await page.waitForSelector('.timeline');
      return text(page, '.timeline');
    };
    assert.match(await find('#1061'), /failed, parked: .*MUG-GREEN/);
    // Said to be entered first, it leads there.
    await page.click('text=To the stock');
    await page.fill('#set input[name=sku]', 'MUG-GREEN');
    await page.fill('#set input[name=quantity]', '40');
    await page.click('#set button');
    assert.match(await text(page, '.note.good'), /MUG-GREEN is new: 40 in stock/);
    await find('#1061');
    await page.click('#redrive button.primary');
    await page.waitForSelector('[data-job-state=ended]');
    // Neither page is loaded again: each goes on by itself while something is under way.
    const sent = () => page.waitForFunction(() => document.querySelector('.timeline')?.innerText.includes('order-confirmation sent'));
    // A page that is loaded anew has been answered.
    await page.addInitScript(() => {
      const look = () => document.getElementById('silent') && sessionStorage.setItem('silent', 'seen');
      new MutationObserver(look).observe(document, { childList: true, subtree: true });
    });
    await page.click('text=To the webhook');
    await sent();
    assert.equal(await page.evaluate(() => sessionStorage.getItem('silent')), null);
    await page.goto('/webhooks?q=%231062');
    assert.match(await text(page, 'table.list tbody'), /completed\s+not sent: 1/);
    assert.equal((await story('of-1062')).now.effects_waiting, 1);
    assert.match(await find('#1062'), /order-confirmation failed: .*550/);
    assert.ok(await page.isChecked('#effects input[name=id]'), 'what needs a person is selected');
    await page.click('#effects button[value=resend]');
    await page.waitForSelector('.note.good');
    await sent();
    return page;
  },

  async 'sources say what was refused, and that their secret is in use'() {
    const page = await open(browser, scene.url);
    await logIn(page, VIEWER, '/sources');
    const shopify = await text(page, '[data-source=shopify]');
    assert.match(shopify, /not genuine: \S.*\s+1\b/);
    assert.match(shopify, /Secret 1\s+last signed/);
    return page;
  },

  async 'dark and light: by the system, by choice, and remembered'() {
    const page = await open(browser, scene.url, { colorScheme: 'dark' });
    await logIn(page, VIEWER, '/webhooks');
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.click('#theme');
    const light = await ground();
    assert.notEqual(dark, light);
    await page.goto('/sources');
    assert.equal(await ground(), light, 'the choice outlasts the page');
    return page;
  },
};

for (const [name, viewport] of Object.entries({ wide: DESKTOP, narrow: PHONE })) {
  for (const colorScheme of ['light', 'dark']) {
    tests[`every page, ${name} and ${colorScheme}: nothing sticks out, nobody is kept out`] = async () => {
      const page = await open(browser, scene.url, { viewport, colorScheme });
      await page.goto('/');
      assert.deepEqual(await barriers(page), [], 'the login');
      await logIn(page, OPERATOR);
      for (const path of [...Object.values(PAGES), '/jobs/1', NOWHERE]) {
        await visit(page, path);
        assert.ok(await overflow(page) <= 0, `${path} is ${await overflow(page)} px too wide`);
        assert.deepEqual(await barriers(page), [], path);
      }
      // The browser tells of the page that is not there.
      page.complaints = page.complaints.filter((complaint) => !complaint.includes(NOWHERE));
      return page;
    };
  }
}

// The last: the console forgets its jobs.
tests['a page that hears nothing says so, not that all is fine, and goes on when the console is back'] = async () => {
  const page = await open(browser, scene.url);
  await logIn(page, OPERATOR);
  const job = await open(browser, scene.url);
  await logIn(job, OPERATOR);
  await parkMany('JIB-RED', 1200);
  const { id } = await scene.api('/parked/redrive', { filter: {}, rate: 1 });
  await job.goto(`/jobs/${id}`);
  await job.waitForSelector('[data-job-state=running]');
  assert.ok(await page.isVisible('#verdict'));
  scene.console.kill('SIGTERM');
  await scene.console.ended;
  await page.waitForSelector('#silent[role=alert]');
  assert.match(await text(page, '#silent'), /does not answer.* is of \d/);
  assert.ok(!(await page.isVisible('#verdict')), 'nobody knows whether all is fine');
  scene.console = scene.startConsole();
  await page.waitForSelector('#silent', { state: 'detached' });
  assert.ok(await page.isVisible('#verdict'), 'who was logged in still is');
  await job.waitForSelector('[data-job-state=gone]');
  assert.equal(await shows(job, '#silent'), 0);
  // A session that ends under an open page: the page goes to the login, and back.
  await page.context().clearCookies();
  await page.waitForURL((url) => url.pathname === '/login');
  assert.equal(await shows(page, 'header.top'), 0, 'the login is no part of a page');
  await page.fill('#token', VIEWER);
  await page.click('button[type=submit]');
  await page.waitForSelector('#verdict');
  await job.context().close();
  page.complaints.length = 0; // the browser tells of what was not answered, and of the 401
  return page;
};

async function test() {
  let failed = 0;
  for (const [name, run] of Object.entries(tests)) {
    const begin = performance.now();
    try {
      const page = await run();
      assert.deepEqual(page.complaints, [], 'the browser complains of nothing');
      await page.context().close();
      console.log(`  ok    ${name} (${Math.round(performance.now() - begin)} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`  FAIL  ${name}\n${error.stack}`);
    }
  }
  console.log(`browser: ${Object.keys(tests).length - failed} of ${Object.keys(tests).length} tests hold, in Chromium ${browser.version()}`);
  process.exitCode = failed ? 1 : 0;
}

let failed = true;
try {
  await scene.start();
  await play(scene);
  browser = await launch();
  if (what === '--look') await look(browser, scene, folder);
  else if (what === '--screenshots') await screenshots(browser, scene, folder);
  else await test();
  failed = Boolean(process.exitCode);
} finally {
  await browser?.close().catch((error) => console.log(`  the browser did not end: ${error.message}`));
  await scene.end({ failed });
}
