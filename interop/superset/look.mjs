// The browser of these checks: reads one command a line (JSON) and answers each with one line. It logs in
// as a person does, and keeps every answer with a chart's data, so that what a screen shows and what it
// was told can both be compared.
//   node look.mjs BASE
import { createInterface } from 'node:readline';
import { openBrowser } from '../ui/browser.mjs';

const base = process.argv[2];
const LIMIT_MS = 90_000;
const DATA = /\/api\/v1\/chart\/data|\/superset\/explore_json|\/api\/v1\/sqllab\/execute/;
const { context, close } = await openBrowser();
const page = await context.newPage();
page.setDefaultTimeout(LIMIT_MS);
let answers = [];
let waiting = 0;
page.on('request', (request) => { if (DATA.test(request.url())) waiting += 1; });
page.on('requestfailed', (request) => { if (DATA.test(request.url())) waiting -= 1; });
page.on('response', async (response) => {
  if (!DATA.test(response.url())) return;
  try {
    const body = await response.text();
    answers.push({ url: response.url(), status: response.status(), asked: response.request().postData(), body });
  } catch { /* the page went on before the body came */ }
  waiting -= 1;
});

const commands = {
  async login({ username, password }) {
    await page.goto(`${base}/login/`);
    await page.locator('input[name=username], #username').first().fill(username);
    await page.locator('input[name=password], #password').first().fill(password);
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    return page.url();
  },
  /** Opens a page and waits until so many answers with data are there and none is under way. */
  async open({ path, data = 0, height = 1600, texts = [] }) {
    await page.setViewportSize({ width: 1600, height });
    answers = [];
    await page.goto(base + path);
    const until = Date.now() + LIMIT_MS;
    while (answers.length < data || waiting > 0) {
      if (Date.now() > until) throw new Error(`${path}: ${answers.length} of ${data} answers with data; the page says ${(await page.locator('body').innerText()).slice(0, 600)}`);
      await page.waitForTimeout(100);
    }
    for (const text of texts) await page.getByText(text).first().waitFor();
    return answers;
  },
  /** The texts of all that match. */
  async texts({ selector, wait = true }) {
    if (wait) await page.locator(selector).first().waitFor();
    return page.locator(selector).allInnerTexts();
  },
  /** Waits until the first match shows this text. */
  async shows({ selector, text, limit_ms = LIMIT_MS }) {
    const until = Date.now() + limit_ms;
    for (;;) {
      const seen = await page.locator(selector).first().innerText();
      if (seen.trim() === text) return Date.now();
      if (Date.now() > until) throw new Error(`${selector} shows ${seen}, not ${text}`);
      await page.waitForTimeout(100);
    }
  },
  /** What a table holds: rows of cells. */
  async table({ selector }) {
    await page.locator(`${selector} tbody tr`).first().waitFor();
    return page.locator(`${selector} tbody tr`).evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText.trim())));
  },
  async sqllab({ path, sql, limit_ms = LIMIT_MS }) {
    await page.setViewportSize({ width: 1600, height: 1000 });
    await page.goto(base + path);
    const editor = page.locator('.ace_editor').first();
    // The newest begins without a tab.
    const tab = page.getByText(/add a new tab/i).first();
    await editor.or(tab).first().waitFor();
    if (!(await editor.isVisible())) await page.locator('[data-test=add-tab-icon], .ant-tabs-nav-add, [aria-label="Add tab"]').first().click();
    await editor.waitFor();
    await page.locator('.ace_content').first().click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(sql);
    answers = [];
    await page.keyboard.press('Control+Enter');
    const until = Date.now() + limit_ms;
    while (answers.length === 0) {
      if (Date.now() > until) throw new Error('SQL Lab ran nothing');
      await page.waitForTimeout(100);
    }
    return answers;
  },
  async text() {
    return page.locator('body').innerText();
  },
  async shot({ path }) {
    await page.screenshot({ path });
    return path;
  },
  async answers() {
    return answers;
  },
};

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const command = JSON.parse(line);
  try {
    const value = await commands[command.do](command);
    process.stdout.write(`${JSON.stringify({ value })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error).slice(0, 2000) })}\n`);
  }
}
await close();
