// Pictures: of every page, for a person to look at, and the README's.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { DESKTOP, logIn, open, PAGES, PHONE, visit } from './pages.mjs';
import { OPERATOR, until } from './scene.mjs';

// Every page, wide and narrow, light and dark.
export async function look(browser, scene, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [wide, viewport] of Object.entries({ wide: DESKTOP, narrow: PHONE })) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await open(browser, scene.url, { viewport, colorScheme });
      const shoot = (name, fullPage = true) => page.screenshot({ path: join(folder, `${name}-${wide}-${colorScheme}.png`), fullPage });
      await page.goto('/');
      await shoot('login');
      await logIn(page, OPERATOR);
      for (const [name, path] of Object.entries(PAGES)) {
        await visit(page, path);
        await shoot(name, name !== 'docs');
      }
      await page.context().close();
    }
  }
}

// The overview while orders come, a webhook's page in the dark, and what is parked on a phone.
export async function screenshots(browser, scene, folder) {
  mkdirSync(folder, { recursive: true });
  await traffic(scene, 120);
  const taken = {
    overview: { path: '/', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
    webhook: { path: PAGES.webhook, viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
    parked: { path: PAGES.parked, viewport: PHONE, colorScheme: 'light' },
  };
  for (const [name, { path, ...how }] of Object.entries(taken)) {
    const page = await open(browser, scene.url, how);
    await logIn(page, OPERATOR, path);
    await visit(page, path);
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.context().close();
  }
}

// A shop's orders for so many seconds, now more and now fewer.
async function traffic(scene, seconds) {
  const begin = Date.now();
  let next = 0;
  await until('the orders are sent', async () => {
    const wave = 8 + 5 * Math.sin((Date.now() - begin) / 9_000);
    for (let n = 0; n < wave; n += 1) {
      next += 1;
      await scene.order(`7d0f3c1a-0000-4000-8000-${String(next).padStart(12, '0')}`, {
        number: 20_000 + next, email: '', lines: [{ sku: 'MUG-APFEL', quantity: 1 }],
      });
    }
    return Date.now() - begin > seconds * 1_000;
  }, seconds * 2_000, 250);
}
