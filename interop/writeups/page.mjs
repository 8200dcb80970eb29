// Looks at a running node's page in Chromium and ends with 1 when something is not there.
//   node page.mjs BASE '[["flow", ["topic/movies"]], ["record", "movies", 0, "text"], …]'
import assert from 'node:assert/strict';
import { openBrowser, openPage } from '../ui/browser.mjs';

const LIMIT_MS = 10_000;
const [base, wanted] = [process.argv[2], JSON.parse(process.argv[3])];
const { context, close } = await openBrowser();
const { page, seen } = await openPage(context, base);
page.setDefaultTimeout(LIMIT_MS);
const result = () => page.getByRole('group', { name: 'Result' });

const looks = {
  /** Every part of the pipeline is drawn. */
  async flow(ids) {
    await page.goto(`${base}/`);
    for (const id of ids) await page.locator(`[data-node="${id}"]`).waitFor();
  },
  /** A partition's page, from its beginning, shows a record that holds this text. */
  async record(topic, partition, text) {
    await page.goto(`${base}/topics/${encodeURIComponent(topic)}?from=earliest&partition=${partition}`);
    await page.locator('[data-record]').filter({ hasText: text }).first().waitFor();
  },
  /** A table's page shows rows without being asked; one of them holds this text. */
  async table(name, text) {
    await page.goto(`${base}/tables/${encodeURIComponent(name)}`);
    await page.locator('main table tbody tr').filter({ hasText: text }).first().waitFor();
  },
  /** The SQL box answers a query with exactly one row, which ends with this cell. */
  async sql(query, cell) {
    await page.goto(`${base}/sql`);
    const area = page.getByRole('textbox', { name: 'SQL query' });
    await area.fill(query);
    await area.press('Control+Enter');
    await result().locator('tbody tr').filter({ hasText: cell }).first().waitFor();
    assert.equal(await result().locator('tbody tr').count(), 1);
    assert.equal((await result().locator('tbody td').last().innerText()).replaceAll(',', ''), cell);
  },
};

try {
  for (const [name, ...words] of wanted) await looks[name](...words);
  assert.deepEqual(seen.errors, [], 'console');
  assert.deepEqual(seen.strangers, [], 'requests to other hosts');
} catch (error) {
  console.error(String(error?.message ?? error));
  process.exitCode = 1;
} finally {
  await close();
}
