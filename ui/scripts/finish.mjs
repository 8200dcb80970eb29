// The last step of a build: brotli beside text assets, budgets, the source hash.
// Fails when the app has outgrown what a first visit may cost.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { sourceHash } from './source-hash.mjs';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const INITIAL_JS_GZIP_MAX = 220 * 1024;
const LAZY_JS_GZIP_MAX = 150 * 1024;
const DIST_MAX = 1_258_291;

const walk = (path) => (statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => walk(join(path, name))) : [path]);

for (const file of walk(DIST).filter((f) => /\.(js|css|svg)$/.test(f))) {
  const text = readFileSync(file);
  writeFileSync(`${file}.br`, brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }));
}
writeFileSync(join(DIST, 'SOURCE_HASH'), `${sourceHash()}\n`);

const html = readFileSync(join(DIST, 'index.html'), 'utf8');
if (/<script(?![^>]*\bsrc=)|<style|\bstyle=/.test(html)) fail('index.html has inline script or style, which the content security policy forbids');
const scripts = walk(join(DIST, 'assets')).filter((f) => f.endsWith('.js'));
const gzip = (file) => gzipSync(readFileSync(file)).length;
const initial = scripts.filter((f) => html.includes(f.slice(f.lastIndexOf('/') + 1)));
const initialSize = initial.reduce((sum, f) => sum + gzip(f), 0);
const total = walk(DIST).reduce((sum, f) => sum + statSync(f).size, 0);
for (const file of scripts) if (!initial.includes(file) && gzip(file) > LAZY_JS_GZIP_MAX) fail(`${file}: a lazy part over ${LAZY_JS_GZIP_MAX} bytes gzipped`);
if (initialSize > INITIAL_JS_GZIP_MAX) fail(`initial JS is ${initialSize} bytes gzipped, more than ${INITIAL_JS_GZIP_MAX}`);
if (total > DIST_MAX) fail(`dist is ${total} bytes, more than ${DIST_MAX}`);
console.log(`initial JS ${(initialSize / 1024).toFixed(1)} KiB gzipped of ${INITIAL_JS_GZIP_MAX / 1024}; dist ${(total / 1024).toFixed(0)} KiB of ${Math.round(DIST_MAX / 1024)}`);

function fail(text) {
  console.error(`ui build: ${text}`);
  process.exit(1);
}
