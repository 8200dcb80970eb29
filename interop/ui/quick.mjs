// Drives the page in Chromium as a person would: against the mock always, and against a real node when
// YEOUL_BIN names a binary. Ends with `N passed, N failed`.
//   node quick.mjs [word]       runs only the checks whose name holds the word
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import AxeBuilder from '@axe-core/playwright';
import { sourceHash } from '../../ui/scripts/source-hash.mjs';
import { openBrowser, openPage } from './browser.mjs';
import { startMock, startNode } from './node.mjs';

const only = process.argv[2] ?? '';
const counts = { passed: 0, failed: 0 };
const { context, close } = await openBrowser();

async function check(name, run) {
  if (!name.includes(only)) return;
  const start = performance.now();
  try {
    const note = await run();
    counts.passed += 1;
    console.log(`ok   ${name} (${Math.round(performance.now() - start)} ms)${note ? `: ${note}` : ''}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`FAIL ${name}\n     ${String(error?.stack ?? error).replaceAll('\n', '\n     ')}`);
  }
}

/** A check with its own page; nothing may be asked of another host, nothing may be on the console. */
const visit = (name, base, path, run) =>
  check(name, async () => {
    const { page, seen } = await openPage(context, base);
    try {
      await page.goto(base + path);
      const note = await run(page, seen);
      assert.deepEqual(seen.errors, [], 'console');
      assert.deepEqual(seen.strangers, [], 'requests to other hosts');
      return note;
    } finally {
      await page.close();
    }
  });

async function until(what, limit_ms, ask) {
  const end = Date.now() + limit_ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${limit_ms} ms: ${what}`);
    await wait(100);
  }
}

const totals = (page) => page.$$eval('[data-node]', (nodes) => Object.fromEntries(nodes.map((n) => [n.dataset.node, Number(n.dataset.total)])));
const moved = (a, b) => Object.keys(b).filter((id) => b[id] > (a[id] ?? 0));
const settings = (page, language, theme) =>
  page.evaluate(([l, t]) => {
    localStorage.setItem('yeoul.language', l);
    localStorage.setItem('yeoul.theme', t);
  }, [language, theme]);
const json = async (base, path) => (await fetch(`${base}/api/v1/${path}`)).json();

/** The names of what this node has: a growing topic, a table fed by now, a dead-letter topic if any. */
async function names(base) {
  const flow = await until('a flow with a table that holds rows', 20_000, async () => {
    const found = await json(base, 'flow');
    const tables = await json(base, 'tables');
    return found.nodes.some((n) => n.kind === 'topic' && n.rate_in > 0) && tables.some((t) => t.rows > 0 && t.max_ms !== null && t.max_ms > t.min_ms) ? found : null;
  });
  const topic = flow.nodes.filter((n) => n.kind === 'topic').sort((a, b) => b.rate_in - a.rate_in)[0].name;
  const tables = (await json(base, 'tables')).filter((t) => t.rows > 0);
  const table = tables.sort((a, b) => b.max_ms - a.max_ms)[0];
  const dead = (await json(base, 'dead'))[0]?.topic ?? null;
  return { topic, table, dead };
}

async function flowChecks(at, base) {
  await visit(`${at}: the flow appears and moves within 5 s`, base, '/', async (page) => {
    const start = performance.now();
    await page.waitForSelector('[data-node]', { timeout: 5_000 });
    const first = await totals(page);
    const ids = await until('a total that grows', 5_000 - (performance.now() - start), async () => {
      const ids = moved(first, await totals(page));
      return ids.length > 0 ? ids : null;
    });
    const paint = await page.evaluate(() => Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1));
    return `${ids.length} parts moved, first paint at ${paint} ms`;
  });

  await visit(`${at}: pausing freezes the page and counts what waits, resuming catches up`, base, '/', async (page) => {
    await page.waitForSelector('[data-node]');
    await page.getByRole('button', { name: /^(Pause|일시정지)$/ }).click();
    await wait(200);
    const frozen = await totals(page);
    const waiting = await until('a number of waiting records', 5_000, () => page.$eval('[data-waiting]', (e) => Number(e.dataset.waiting)));
    assert.deepEqual(await totals(page), frozen);
    await page.getByRole('button', { name: /^(Resume|계속)$/ }).click();
    await until('totals after the pause', 2_000, async () => moved(frozen, await totals(page)).length > 0);
    return `${waiting} waited`;
  });

  await visit(`${at}: a node leads to its page`, base, '/', async (page) => {
    await page.locator('[data-node][data-kind="topic"] a').first().click();
    await page.waitForURL(/\/topics\//);
    await page.goBack();
    await page.locator('[data-node][data-kind="table"] a').first().click();
    await page.waitForURL(/\/tables\//);
    await page.goBack();
    await page.locator('[data-node][data-kind="source"] a').first().click();
    await page.getByRole('complementary').waitFor();
    await page.keyboard.press('Escape');
    await until('the drawer closed', 2_000, async () => (await page.getByRole('complementary').count()) === 0);
  });
}

async function topicChecks(at, base, { topic, dead }) {
  const path = `/topics/${encodeURIComponent(topic)}`;
  await visit(`${at}: a topic's tail grows`, base, path, async (page) => {
    const grid = page.getByRole('grid');
    await grid.waitFor();
    await page.waitForSelector('[data-record]');
    const first = await page.getAttribute('[data-record]', 'data-record');
    const before = Number(await grid.getAttribute('data-rows'));
    await until('a newer record on top', 5_000, async () => (await page.locator('[data-record]').first().getAttribute('data-record')) !== first);
    await until('more rows', 5_000, async () => Number(await grid.getAttribute('data-rows')) > before);
    assert.ok((await page.locator('[data-record]').count()) < 120, 'only rows in sight are in the page');
  });

  await visit(`${at}: a record opens with its value, and stays while newer ones arrive`, base, path, async (page) => {
    await page.locator('[data-record]').nth(3).click();
    const drawer = page.getByRole('complementary');
    const value = drawer.locator('pre');
    const text = await value.innerText();
    assert.equal(typeof JSON.parse(text), 'object');
    await wait(1_200);
    assert.equal(await value.innerText(), text);
    await page.reload();
    await page.getByRole('complementary').locator('pre').waitFor();
    assert.equal(await page.getByRole('complementary').locator('pre').innerText(), text, 'the address brings the record back');
    await page.keyboard.press('Escape');
    await until('the drawer closed', 2_000, async () => (await page.getByRole('complementary').count()) === 0);
  });

  await visit(`${at}: a topic is read from its start and from an offset`, base, `${path}?from=earliest&partition=0`, async (page) => {
    const { start_offsets, end_offsets } = await json(base, `topics/${encodeURIComponent(topic)}`);
    await page.waitForSelector('[data-record]');
    assert.equal(await page.locator('[data-record]').first().getAttribute('data-record'), `0:${start_offsets[0]}`);
    const middle = Math.floor((start_offsets[0] + end_offsets[0]) / 2);
    await page.goto(`${base}${path}?from=${middle}&partition=0`);
    await page.waitForSelector('[data-record]');
    assert.equal(await page.locator('[data-record]').first().getAttribute('data-record'), `0:${middle}`);
  });

  await visit(`${at}: the filter keeps what it names`, base, `${path}?from=latest`, async (page) => {
    await page.waitForSelector('[data-record]');
    await page.locator('[data-search]').fill('no such text 없음');
    await until('an empty list', 2_000, async () => (await page.locator('[data-record]').count()) === 0);
    assert.equal(new URL(page.url()).searchParams.get('filter'), 'no such text 없음');
  });

  await visit(`${at}: schema and partitions are shown`, base, `${path}?tab=partitions`, async (page) => {
    const { partitions } = await json(base, `topics/${encodeURIComponent(topic)}`);
    await page.locator('main table tbody tr').first().waitFor();
    assert.equal(await page.locator('main table tbody tr').count(), partitions);
    await page.goto(`${base}${path}?tab=schema`);
    await page.locator('main table tbody tr').first().waitFor();
  });

  if (dead) {
    await visit(`${at}: dead letters show their reason; a dotted name survives a reload`, base, `/topics/${encodeURIComponent(dead)}`, async (page) => {
      await page.getByRole('heading', { level: 1, name: dead }).waitFor();
      await page.goto(`${base}/quality?topic=${encodeURIComponent(dead)}`);
      await page.getByRole('heading', { name: dead }).waitFor();
      if ((await json(base, 'dead'))[0].records === 0) return 'none yet';
      await page.waitForSelector('[data-record]');
      const cells = await page.locator('[data-record]').first().getByRole('gridcell').allInnerTexts();
      assert.notEqual(cells[4].trim(), '–');
      return cells[4];
    });
  }
}

async function tableChecks(at, base, { table }) {
  const path = `/tables/${encodeURIComponent(table.name)}`;
  await visit(`${at}: a table's chart draws and follows the data`, base, path, async (page) => {
    const plot = page.locator('[data-points]');
    await plot.waitFor();
    const read = () => plot.evaluate((e) => [Number(e.dataset.points), e.dataset.last].join(' '));
    await until('two points', 10_000, async () => Number((await read()).split(' ')[0]) >= 2);
    const ink = await page.locator('canvas').evaluate((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v !== 0));
    assert.ok(ink, 'the canvas is empty');
    const before = await read();
    await until('a chart that changes', 12_000, async () => (await read()) !== before);
    await page.getByRole('button', { name: /As table|표로 보기/ }).click();
    await page.locator('section table tbody tr').first().waitFor();
    return before;
  });

  await visit(`${at}: dragging on the chart zooms, double-click goes back`, base, path, async (page) => {
    const over = page.locator('.u-over');
    await over.waitFor();
    const box = await over.boundingBox();
    await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/range=\d+(%7E|~)\d+/);
    await page.locator('.u-over').dblclick({ position: { x: 60, y: 30 } });
    await page.waitForURL((url) => !url.search.includes('range'));
  });

  await visit(`${at}: the SQL box answers, and says why it refuses`, base, path, async (page, seen) => {
    const area = page.getByRole('textbox', { name: /^(SQL query|SQL 질의)$/ });
    await page.locator('[role="status"][data-rows]').waitFor();
    await area.fill(`SELECT COUNT(*) AS "rows" FROM "${table.name}"`);
    await area.press('Control+Enter');
    await until('a count', 10_000, async () => Number(await page.locator('[role="status"][data-rows]').getAttribute('data-rows')) === 1);
    const cell = await page.getByRole('group', { name: /^(Result|결과)$/ }).locator('tbody td').last().innerText();
    assert.ok(Number(cell) > 0, `a count of ${cell}`);
    // A refused query is an answer here; the browser itself notes the 400 on the console.
    await area.fill('SELECT nothing FROM "no such table 없음"');
    await area.press('Control+Enter');
    const text = await page.getByRole('alert').innerText();
    assert.match(text, /no such table/);
    seen.errors = seen.errors.filter((e) => !/400.*\/api\/v1\/sql/.test(e));
    return `${cell} rows; ${text.split('\n')[1] ?? text}`;
  });

  await visit(`${at}: a query on the SQL page stays live`, base, `/sql?q=${encodeURIComponent(`SELECT COUNT(*) AS "rows" FROM "${table.name}"`)}`, async (page) => {
    const cell = page.getByRole('group', { name: /^(Result|결과)$/ }).locator('tbody td').last();
    await cell.waitFor();
    await page.getByRole('button', { name: /^(Keep live|실시간 유지)$/ }).click();
    const before = await cell.innerText();
    await until('a count that grows', 10_000, async () => Number(await cell.innerText()) > Number(before));
  });
}

async function shellChecks(at, base, { topic, table, dead }) {
  await visit(`${at}: language and theme switch and are kept`, base, '/', async (page) => {
    const nav = page.getByRole('navigation').first();
    await page.getByRole('radio', { name: '한국어' }).check({ force: true });
    assert.match(await nav.innerText(), /토픽/);
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
    await page.reload();
    assert.match(await nav.innerText(), /토픽/);
    await page.getByRole('radio', { name: 'English' }).check({ force: true });
    assert.match(await nav.innerText(), /Topics/);
    await page.getByRole('combobox', { name: 'Theme' }).selectOption('dark');
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
    await page.getByRole('combobox', { name: 'Theme' }).selectOption('system');
  });

  await visit(`${at}: the keyboard alone`, base, '/', async (page) => {
    await page.waitForSelector('[data-node]');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('href')), '#main');
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await page.waitForURL(/\/topics$/);
    await page.waitForSelector('[data-search]');
    await page.keyboard.press('/');
    await page.keyboard.type(topic.slice(0, 3));
    assert.equal(new URL(page.url()).searchParams.get('find'), topic.slice(0, 3));
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
    await until('the dialog closed', 2_000, async () => (await page.locator('dialog[open]').count()) === 0);
  });

  const paths = ['/', '/topics', `/topics/${encodeURIComponent(topic)}`, `/topics/${encodeURIComponent(topic)}?tab=schema`, '/tables', `/tables/${encodeURIComponent(table.name)}`, `/sql?q=${encodeURIComponent(`SELECT * FROM "${table.name}" LIMIT 20`)}`, dead ? `/quality?topic=${encodeURIComponent(dead)}` : '/quality', '/nothing-here'];
  await fitChecks(at, base, paths);
  await axeChecks(at, base, paths);
}

/** Nothing is wider than its place, at two widths and in both languages. */
async function fitChecks(at, base, paths) {
  for (const [width, height] of [[1280, 800], [1920, 1080]]) {
    for (const language of ['ko', 'en']) {
      await visit(`${at}: fits ${width} px in ${language}`, base, '/', async (page) => {
        await page.setViewportSize({ width, height });
        await settings(page, language, 'light');
        for (const path of paths) {
          await page.goto(base + path);
          await wait(900);
          const wide = await page.evaluate(() => {
            const out = [];
            const main = document.querySelector('main');
            if (document.documentElement.scrollWidth > innerWidth) out.push('page');
            if (main.scrollWidth > main.clientWidth) out.push('main');
            // Text that is cut without a way to read the rest.
            for (const e of document.querySelectorAll('header *, nav *, main dt, main dd, main button, main h1, main h2, main label, main select')) {
              const style = getComputedStyle(e);
              if (e.closest('.unseen') || e.closest('svg') || style.textOverflow === 'ellipsis') continue;
              if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && style.display !== 'inline') out.push(`${e.tagName} "${e.textContent.slice(0, 40)}" ${e.scrollWidth} in ${e.clientWidth}`);
            }
            return out;
          });
          assert.deepEqual(wide, [], path);
        }
      });
    }
  }
}

async function axeChecks(at, base, paths) {
  for (const language of ['ko', 'en']) {
    for (const theme of ['light', 'dark']) {
      await visit(`${at}: axe finds nothing in ${language}, ${theme}`, base, '/', async (page) => {
        await settings(page, language, theme);
        for (const path of paths) {
          await page.goto(base + path);
          await wait(900);
          await noViolations(page, path);
        }
        // With the inspector open, and the list of keys.
        await page.goto(base + paths[2]);
        await page.locator('[data-record]').first().click();
        await page.getByRole('complementary').waitFor();
        await noViolations(page, `${paths[2]} with a record`);
        await page.keyboard.press('?');
        await page.locator('dialog[open]').waitFor();
        await noViolations(page, 'keys');
        return `${paths.length + 2} views`;
      });
    }
  }
}

async function noViolations(page, where) {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  const found = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.any[0]?.message ?? ''}`).join(' | ')}`);
  assert.deepEqual(found, [], where);
}

async function allChecks(node) {
  const found = await names(node.base);
  await flowChecks(node.name, node.base);
  await topicChecks(node.name, node.base, found);
  await tableChecks(node.name, node.base, found);
  await shellChecks(node.name, node.base, found);
}

async function mockOnly(mock) {
  await check('the node goes away and comes back', async () => {
    const { page, seen } = await openPage(context, mock.base);
    await page.goto(`${mock.base}/topics/bikes_typed`);
    await page.waitForSelector('[data-record]');
    await mock.stop();
    await page.getByRole('alert').first().waitFor({ timeout: 5_000 });
    await wait(1_500);
    const text = await page.getByRole('alert').first().innerText();
    assert.match(text, /\d/);
    assert.ok((await page.locator('[data-record]').count()) > 0, 'old records stay in sight');
    const again = await startMock({ port: mock.port });
    try {
      await until('the banner gone', 10_000, async () => (await page.getByRole('alert').count()) === 0);
      const first = await page.locator('[data-record]').first().getAttribute('data-record');
      await until('the tail goes on', 5_000, async () => (await page.locator('[data-record]').first().getAttribute('data-record')) !== first);
      assert.deepEqual(seen.strangers, []);
    } finally {
      await page.close();
      await again.stop();
    }
    return text.split('\n')[0];
  });

  const empty = await startMock({ empty: true });
  await visit('an empty node says what to do first', empty.base, '/', async (page) => {
    await page.locator('main code', { hasText: 'yeoul demo bikes' }).waitFor();
    await page.locator('main code', { hasText: '127.0.0.1:9092' }).waitFor();
    for (const path of ['/', '/topics', '/tables', '/sql', '/quality']) {
      await page.goto(empty.base + path);
      await wait(700);
      await noViolations(page, path);
    }
  });
  await empty.stop();
}

await check('dist belongs to its sources', () => {
  const committed = readFileSync(new URL('../../ui/dist/SOURCE_HASH', import.meta.url), 'utf8').trim();
  assert.equal(committed, sourceHash(), 'run npm run build in ui/');
});
const mock = await startMock();
await allChecks(mock);
await mockOnly(mock);
await mock.stop();
if (process.env.YEOUL_BIN) {
  const node = await startNode(process.env.YEOUL_BIN, process.env.YEOUL_DEMO ?? 'bikes').catch((error) => {
    counts.failed += 1;
    console.log(`FAIL the node starts\n     ${error.message}`);
    return null;
  });
  if (node) {
    await allChecks(node).catch((error) => {
      counts.failed += 1;
      console.log(`FAIL ${node.name}: ${error.message}`);
    });
    await node.stop();
  }
} else {
  console.log('skipped: a real node (YEOUL_BIN names no binary)');
}
await close();
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 ? 0 : 1);
