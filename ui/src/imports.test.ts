// Imports point one way only, so that the pure parts stay pure.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

// The runner starts in `ui/`.
const SRC = join(process.cwd(), 'src');
const MAY: Readonly<Record<string, readonly string[]>> = {
  api: [],
  live: ['api'],
  i18n: ['live', 'api'],
  place: [],
  chart: [],
  part: ['i18n', 'place', 'chart', 'live', 'api'],
  page: ['part', 'i18n', 'place', 'chart', 'live', 'api'],
};

test('imports point one way', () => {
  const files = (readdirSync(SRC, { recursive: true }) as string[]).filter((f) => /\.tsx?$/.test(f));
  assert.ok(files.length > 30);
  for (const file of files) {
    const folder = file.split('/')[0] ?? '';
    const may = MAY[folder];
    if (!may) continue;
    for (const [, to] of readFileSync(join(SRC, file), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const target = normalize(join(dirname(file), to ?? '')).split('/')[0] ?? '';
      assert.ok(target === folder || may.includes(target), `${file} imports ${to}`);
    }
  }
});
