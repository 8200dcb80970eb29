import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketFor, chartSql, measureOf, pointsOf, rangeOf, timeOf } from './bucket';
import { layoutFlow, type LayoutEdge } from './flow-layout';
import { sparkPath } from './spark';

const SIZE = { width: 1_000, nodeHeight: 100, nodeWidthMin: 140, nodeWidthMax: 220, gapX: 60, gapY: 20 };
const lay = (pairs: readonly string[], minor: readonly string[] = []) => {
  const edges: LayoutEdge[] = pairs.map((p) => ({ from: p.split('>')[0] ?? '', to: p.split('>')[1] ?? '' }));
  const ids = [...new Set(edges.flatMap((e) => [e.from, e.to]))];
  return layoutFlow(ids.map((id) => ({ id, minor: minor.includes(id) })), edges, SIZE);
};

test('a chain stands on one line, whatever hangs beside it', () => {
  const { boxes } = lay(['source>raw', 'raw>stream', 'lookup>stream', 'stream>typed', 'stream>dead', 'typed>table'], ['lookup', 'dead']);
  const main = ['source', 'raw', 'stream', 'typed', 'table'].map((id) => boxes.get(id));
  for (const box of main) assert.ok(Math.abs((box?.y ?? NaN) - (main[0]?.y ?? NaN)) < 1, JSON.stringify([...boxes]));
  assert.deepEqual(main.map((b) => b?.x), [...main.map((b) => b?.x ?? 0)].sort((a, b) => a - b));
  assert.ok((boxes.get('dead')?.y ?? 0) > (boxes.get('typed')?.y ?? 0));
});

test('nodes never overlap and lie in the sheet', () => {
  let seed = 1;
  const random = (n: number) => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed % n;
  };
  for (let round = 0; round < 60; round++) {
    const pairs = Array.from({ length: 2 + random(30) }, () => `n${random(16)}>n${random(16)}`);
    const { boxes, nodeWidth, width, height } = lay(pairs, ['n3', 'n5']);
    const list = [...boxes.values()];
    for (const [i, a] of list.entries()) {
      assert.ok(a.x >= 0 && a.y >= -1e-6 && a.x + nodeWidth <= width + 1e-6 && a.y + SIZE.nodeHeight <= height + 1e-6, `${round}: outside`);
      for (const b of list.slice(i + 1)) {
        assert.ok(a.x !== b.x || Math.abs(a.y - b.y) >= SIZE.nodeHeight + SIZE.gapY - 1e-6, `${round}: overlap`);
      }
    }
  }
});

test('a cycle is drawn, not followed for ever', () => {
  const { boxes } = lay(['a>b', 'b>c', 'c>a', 'x>x']);
  assert.equal(boxes.size, 4);
});

test('buckets keep a chart readable from seconds to centuries', () => {
  for (const span of [0, 1, 60_000, 86_400_000, 31_557_600_000, 3e12]) {
    const bucket = bucketFor(span);
    assert.ok(span / bucket.ms <= 150, `${span} in ${bucket.period}`);
  }
  assert.equal(bucketFor(20 * 60_000).period, 'PT10S');
});

test('the SQL of a chart quotes names and bounds', () => {
  const base = { table: 'a"b', time: '시각', bucket: bucketFor(60_000), from_ms: 0, to_ms: null, zone: 'Asia/Seoul' } as const;
  assert.equal(
    chartSql({ ...base, measure: measureOf('sum:자전거') }),
    `SELECT TIME_FLOOR("시각", 'PT1S') AS "bucket", SUM("자전거") AS "value"\nFROM "a""b"\nWHERE "시각" >= TIMESTAMP '1970-01-01 00:00:00.000'\nGROUP BY 1\nORDER BY 1`,
  );
  assert.match(chartSql({ ...base, measure: { kind: 'count' }, bucket: bucketFor(86_400_000 * 100) }), /TIME_FLOOR\("시각", 'P1D', NULL, 'Asia\/Seoul'\)/);
  assert.deepEqual(measureOf('drop table'), { kind: 'count' });
});

test('buckets without rows are zero for counts and absent for averages', () => {
  const rows = [['2026-01-01T00:00:00Z', 2], ['2026-01-01T00:00:03.000Z', 5]];
  const bucket = { period: 'PT1S', ms: 1_000 } as const;
  assert.deepEqual(pointsOf(rows, bucket, 0).values, [2, 0, 0, 5]);
  assert.deepEqual(pointsOf(rows, bucket, null).values, [2, null, null, 5]);
  assert.deepEqual(pointsOf([], bucket, 0).values, []);
  // A day of 23 hours: nothing is made up between uneven buckets.
  const day = { period: 'P1D', ms: 86_400_000 } as const;
  assert.deepEqual(pointsOf([['2026-03-28T23:00:00Z', 1], ['2026-03-29T22:00:00Z', 2], ['2026-03-31T22:00:00Z', 3]], day, 0).values, [1, 2, 3]);
});

test('times are read as the node may write them', () => {
  for (const text of ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00', '2026-01-01 00:00:00', '2026-01-01T09:00:00+09:00', 1_767_225_600_000]) assert.equal(timeOf(text), 1_767_225_600_000);
  assert.equal(timeOf('soon'), null);
  assert.equal(timeOf(null), null);
});

test('a range is all, a span back from the newest row, or fixed', () => {
  assert.deepEqual(rangeOf('PT5M', 0, 1_000_000), { from_ms: 700_000, to_ms: 1_000_000, moving: true });
  assert.deepEqual(rangeOf('5~9', 0, 100), { from_ms: 5, to_ms: 9, moving: false });
  assert.deepEqual(rangeOf('9~5', 0, 100), { from_ms: 0, to_ms: 100, moving: true });
});

test('a sparkline spans its box', () => {
  assert.equal(sparkPath([1], 10, 10), '');
  assert.equal(sparkPath([0, 2], 10, 10), 'M0.0 9.0L10.0 1.0');
});
