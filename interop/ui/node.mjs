// Something to open in the browser: the mock, or a real node running a demo. Each has an address and
// is stopped by its own process id.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MOCK = fileURLToPath(new URL('../../ui/mock/server.mjs', import.meta.url));
const READY_MS = 30_000;

// Whatever ends this process, what it started must not outlive it.
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
function start(program, args, options) {
  const child = spawn(program, args, options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

export async function startMock({ port = 0, empty = false } = {}) {
  const child = start(process.execPath, [MOCK, '--port', String(port), ...(empty ? ['--empty'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
  const base = await new Promise((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(line.toString().trim()));
    child.once('exit', (code) => reject(new Error(`the mock ended with ${code}`)));
  });
  return { name: empty ? 'empty mock' : 'mock', base, port: Number(new URL(base).port), stop: () => stop(child) };
}

export async function startNode(binary, demo) {
  const folder = mkdtempSync(join(tmpdir(), 'yeoul-ui-node-'));
  const ready = join(folder, 'ready.json');
  const child = start(binary, ['demo', demo, '--data-dir', join(folder, 'data'), '--http', '127.0.0.1:0', '--kafka', '127.0.0.1:0', '--ready-file', ready], { stdio: ['ignore', 'inherit', 'inherit'], cwd: folder });
  let ended = null;
  child.once('exit', (code) => (ended = code));
  for (const until = Date.now() + READY_MS; !existsSync(ready); await wait(50)) {
    if (ended !== null) throw new Error(`${binary} ended with ${ended} before it was ready`);
    if (Date.now() > until) throw new Error(`${binary} was not ready in ${READY_MS} ms`);
  }
  await wait(100);
  const { http } = JSON.parse(readFileSync(ready, 'utf8'));
  return {
    name: `yeoul demo ${demo}`,
    base: `http://${http}`,
    async stop() {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(hard);
}
