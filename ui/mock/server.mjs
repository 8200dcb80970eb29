// A small node that is not one: /api/v1 and its WebSocket with moving made-up data, and the built
// app as the real node serves it (same headers). For developing and testing the UI alone.
//   node mock/server.mjs [--port 8899] [--empty]      port 0 picks a free one; prints its address
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { World } from './world.mjs';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const args = process.argv.slice(2);
const option = (name, otherwise) => (args.includes(name) ? args[args.indexOf(name) + 1] : otherwise);
const world = new World({ empty: args.includes('--empty') });
const TICK_MS = 250;
const BEAT_MS = 5_000;

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const CSP = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'";

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  try {
    if (url.pathname.startsWith('/api/v1/')) await answerApi(request, response, url);
    else answerFile(response, url.pathname);
  } catch (error) {
    json(response, 500, { error: { message: String(error?.stack ?? error) } });
  }
});

async function answerApi(request, response, url) {
  const path = url.pathname.slice('/api/v1/'.length).split('/').map(decodeURIComponent);
  if (request.method === 'POST' && path[0] === 'sql') {
    const body = JSON.parse(await text(request));
    const answer = world.sql(body.query, body.limit ?? 1_000);
    return json(response, answer.error ? 400 : 200, answer);
  }
  const answer = world.get(path, url.searchParams);
  if (answer === undefined) return json(response, 404, { error: { message: `there is no ${path.join(' ')}` } });
  json(response, 200, answer);
}

function answerFile(response, path) {
  const asked = normalize(join(DIST, path));
  const file = asked.startsWith(DIST) && path !== '/' && existsSync(asked) ? asked : null;
  if (!file && path.startsWith('/assets/')) return void response.writeHead(404).end();
  const found = file ?? join(DIST, 'index.html');
  if (!existsSync(found)) return void response.writeHead(404).end('no dist: run npm run build');
  response.writeHead(200, { 'content-type': TYPES[extname(found)] ?? 'application/octet-stream', 'content-security-policy': CSP, 'x-content-type-options': 'nosniff' });
  response.end(readFileSync(found));
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function text(request) {
  let all = '';
  for await (const chunk of request) all += chunk;
  return all;
}

const sockets = new WebSocketServer({ server, path: '/api/v1/live' });
sockets.on('connection', (socket) => {
  const subs = new Map();
  const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
  const push = (sub, type, data) => send({ id: sub.id, seq: ++sub.seq, type, data });
  send({ type: 'beat', now_ms: Date.now() });
  socket.on('message', (raw) => {
    const message = JSON.parse(raw.toString());
    if (message.op === 'unsub') return void subs.delete(message.id);
    const sub = { ...message, seq: 0, last: null };
    if (sub.kind === 'tail' && !world.topic(sub.topic)) return send({ id: sub.id, type: 'error', message: `there is no topic ${sub.topic}` });
    subs.set(sub.id, sub);
    first(sub, push, send);
  });
  const timer = setInterval(() => {
    for (const sub of subs.values()) next(sub, push);
  }, TICK_MS);
  const beat = setInterval(() => send({ type: 'beat', now_ms: Date.now() }), BEAT_MS);
  socket.on('close', () => {
    clearInterval(timer);
    clearInterval(beat);
  });
});

function first(sub, push, send) {
  if (sub.kind === 'flow') {
    const flow = world.flow();
    sub.last = flow;
    push(sub, 'snapshot', flow);
  } else if (sub.kind === 'tail') {
    const topic = world.topic(sub.topic);
    sub.last = topic.next;
    push(sub, 'snapshot', topic.newest(sub.limit ?? 100));
  } else {
    const answer = world.sql(sub.sql, 1_000);
    if (answer.error) return send({ id: sub.id, type: 'error', message: answer.error.message });
    sub.last = JSON.stringify(answer.rows);
    push(sub, 'snapshot', answer);
  }
}

function next(sub, push) {
  if (sub.kind === 'flow') {
    const flow = world.flow();
    const old = new Map(sub.last.nodes.map((n) => [n.id, JSON.stringify(n)]));
    const oldEdges = new Map(sub.last.edges.map((e) => [`${e.from} ${e.to}`, JSON.stringify(e)]));
    const nodes = flow.nodes.filter((n) => old.get(n.id) !== JSON.stringify(n));
    const edges = flow.edges.filter((e) => oldEdges.get(`${e.from} ${e.to}`) !== JSON.stringify(e));
    sub.last = flow;
    if (nodes.length + edges.length > 0) push(sub, 'delta', { at_ms: flow.at_ms, nodes, edges });
  } else if (sub.kind === 'tail') {
    const topic = world.topic(sub.topic);
    const fresh = topic.since(sub.last);
    sub.last = topic.next;
    if (fresh.length > 0) push(sub, 'delta', { records: fresh });
  } else {
    const answer = world.sql(sub.sql, 1_000);
    const rows = JSON.stringify(answer.rows);
    if (rows !== sub.last) push(sub, 'snapshot', answer);
    sub.last = rows;
  }
}

server.listen(Number(option('--port', '8899')), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
