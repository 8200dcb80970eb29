// Unit tests: bundles src/**/*.test.ts for Node with the app's own bundler, then runs Node's test runner.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, 'node_modules/.cache/test');
const tests = readdirSync(join(ROOT, 'src'), { recursive: true }).filter((f) => /\.test\.ts$/.test(f));
rmSync(OUT, { recursive: true, force: true });
await build({
  root: ROOT,
  logLevel: 'warn',
  build: {
    ssr: true,
    outDir: OUT,
    minify: false,
    rollupOptions: { input: Object.fromEntries(tests.map((f) => [basename(f, '.ts'), join(ROOT, 'src', f)])) },
  },
});
const files = readdirSync(OUT).filter((f) => f.endsWith('.test.js')).map((f) => join(OUT, f));
const run = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit', cwd: ROOT });
process.exit(run.status ?? 1);
