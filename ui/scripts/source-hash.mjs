// The hash of everything that `dist` is made of, so that a check without Node can tell whether the
// committed `dist` belongs to the committed sources. The algorithm is in ../README.md.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['src', 'public'];
const FILES = ['index.html', 'package.json', 'package-lock.json', 'vite.config.ts', 'tsconfig.json'];

function walk(path) {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path)).flatMap((name) => walk(`${path}/${name}`));
}

/** Lower-case hex SHA-256. */
export function sourceHash() {
  const paths = [...FOLDERS.flatMap(walk), ...FILES].map((path) => Buffer.from(path)).sort(Buffer.compare);
  const hash = createHash('sha256');
  for (const path of paths) {
    const content = readFileSync(join(ROOT, path.toString()));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(content.length));
    hash.update(path).update(Buffer.of(0)).update(length).update(content);
  }
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(sourceHash());
