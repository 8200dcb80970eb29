import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow, FlowNode, KafkaRecord } from '../api/types';
import { arrived, EMPTY_TAIL, fillGap, madeAnew, mergeFlow, mergeTail, TAIL_ROWS_MAX } from './merge';

const record = (partition: number, offset: number, timestamp_ms = offset): KafkaRecord => ({ partition, offset, timestamp_ms, key: null, value: String(offset), encoding: 'utf8', headers: [] });
const node = (id: string, in_total: number): FlowNode => ({
  id, kind: 'topic', name: id, state: 'running', message: null, in_total, out_total: 0, dead_total: 0, filtered_total: 0, lag: 0, bytes: 0, rate_in: 0, rate_out: 0, watermark_ms: null, last_ms: null,
});

test('a delta replaces whole nodes, adds new ones and keeps the order', () => {
  const flow: Flow = { at_ms: 1, nodes: [node('a', 1), node('b', 2)], edges: [{ from: 'a', to: 'b', total: 1, lag: 0, rate: 0 }] };
  const next = mergeFlow(flow, { at_ms: 2, nodes: [node('b', 5), node('c', 1)], edges: [{ from: 'a', to: 'b', total: 9, lag: 0, rate: 3 }] });
  assert.deepEqual(next.nodes.map((n) => [n.id, n.in_total]), [['a', 1], ['b', 5], ['c', 1]]);
  assert.equal(next.edges[0]?.total, 9);
  assert.equal(arrived(next) - arrived(flow), 4);
});

test('a removed node takes its edges with it', () => {
  const flow: Flow = { at_ms: 1, nodes: [node('a', 1), node('b', 2)], edges: [{ from: 'a', to: 'b', total: 1, lag: 0, rate: 0 }] };
  const next = mergeFlow(flow, { removed_nodes: ['b'] });
  assert.deepEqual([next.nodes.map((n) => n.id), next.edges], [['a'], []]);
});

test('a tail is newest first and shows each record once', () => {
  const first = mergeTail(EMPTY_TAIL, [record(0, 1), record(0, 2), record(1, 1, 3)]);
  const again = mergeTail(first, [record(0, 2), record(0, 3), record(1, 1, 3)]);
  assert.deepEqual(again.rows.map((r) => `${r.partition}:${r.offset}`), ['0:3', '1:1', '0:2', '0:1']);
  assert.equal(again.seen, 4);
  assert.equal(mergeTail(again, [record(0, 3)]), again);
});

test('a hole after a reconnect is named, then filled in its place', () => {
  const before = mergeTail(EMPTY_TAIL, [record(0, 1), record(0, 2)]);
  const after = mergeTail(before, [record(0, 6), record(0, 7)]);
  assert.deepEqual(after.gaps, [{ partition: 0, from: 3, to: 6 }]);
  const gap = after.gaps[0];
  assert.ok(gap);
  const filled = fillGap(after, gap, [record(0, 2), record(0, 3), record(0, 4), record(0, 5), record(0, 6)]);
  assert.deepEqual(filled.rows.map((r) => r.offset), [7, 6, 5, 4, 3, 2, 1]);
  assert.deepEqual(filled.gaps, []);
});

test('a tail holds a bounded number of records', () => {
  let tail = EMPTY_TAIL;
  for (let i = 0; i < 5; i++) tail = mergeTail(tail, Array.from({ length: 1_000 }, (_, j) => record(0, i * 1_000 + j)));
  assert.equal(tail.rows.length, TAIL_ROWS_MAX);
  assert.equal(tail.rows[0]?.offset, 4_999);
  assert.equal(tail.seen, 5_000);
});

test('a topic that was made anew is told from one that went on', () => {
  const tail = mergeTail(EMPTY_TAIL, [record(0, 50), record(1, 9)]);
  assert.equal(madeAnew(tail, [record(0, 3)]), true);
  assert.equal(madeAnew(tail, [record(0, 49), record(0, 50)]), false);
  assert.equal(madeAnew(tail, [record(0, 80), record(2, 0)]), false);
});
