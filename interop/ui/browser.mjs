// Chromium as the tests use it: a fresh profile, no background traffic, every request and console
// message of a page on record.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-device-scale-factor=1'];

export async function openBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'yeoul-ui-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.YEOUL_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'Asia/Seoul',
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page that notes what it must not do. */
export async function openPage(context, base) {
  const page = await context.newPage();
  const seen = { errors: [], strangers: [] };
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') seen.errors.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  const host = new URL(base).host;
  const note = (url) => {
    const asked = new URL(url);
    if (!/^(data|blob|about):/.test(url) && asked.host !== host) seen.strangers.push(url);
  };
  page.on('request', (request) => note(request.url()));
  page.on('websocket', (socket) => note(socket.url()));
  return { page, seen };
}
