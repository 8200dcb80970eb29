// Pictures of every page for people to look at: node shots.mjs BASE FOLDER [width…]
import { mkdirSync } from 'node:fs';
import { openBrowser, openPage } from './browser.mjs';

const [base, folder, ...widths] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const { context, close } = await openBrowser();
const paths = (process.env.PAGES ?? '/ /topics /topics/bikes_typed /tables /tables/bikes /sql /quality').split(' ');
for (const width of widths.length > 0 ? widths : ['1280', '1920']) {
  for (const language of (process.env.LANGUAGES ?? 'ko en').split(' ')) {
    for (const theme of (process.env.THEMES ?? 'light').split(' ')) {
      const { page, seen } = await openPage(context, base);
      await page.setViewportSize({ width: Number(width), height: width === '1920' ? 1080 : 800 });
      await page.goto(base);
      await page.evaluate(([l, t]) => { localStorage.setItem('yeoul.language', l); localStorage.setItem('yeoul.theme', t); }, [language, theme]);
      for (const path of paths) {
        await page.goto(base + encodeURI(path).replaceAll('%25', '%'));
        await page.waitForTimeout(Number(process.env.WAIT ?? 2500));
        const name = decodeURIComponent(path).replace(/\W+/gu, '-').replace(/^-|-$/g, '') || 'home';
        await page.screenshot({ path: `${folder}/${name}-${width}-${language}-${theme}.png` });
      }
      for (const error of seen.errors) console.log('console:', error);
      for (const url of seen.strangers) console.log('stranger:', url);
      await page.close();
    }
  }
}
await close();
