// Time buckets and the SQL of a time chart: pure.
// Invariant: a chart asks for at most about `BUCKETS_MAX` buckets, however long the range.

export const BUCKETS = [
  ['PT1S', 1_000],
  ['PT5S', 5_000],
  ['PT10S', 10_000],
  ['PT30S', 30_000],
  ['PT1M', 60_000],
  ['PT5M', 300_000],
  ['PT15M', 900_000],
  ['PT30M', 1_800_000],
  ['PT1H', 3_600_000],
  ['PT6H', 21_600_000],
  ['P1D', 86_400_000],
  ['P1W', 604_800_000],
  ['P1M', 2_629_800_000],
  ['P3M', 7_889_400_000],
  ['P1Y', 31_557_600_000],
] as const;

export type Period = (typeof BUCKETS)[number][0];
export interface Bucket {
  readonly period: Period;
  readonly ms: number;
}

const BUCKETS_MAX = 150;

/** The finest bucket that keeps the number of points readable. */
export function bucketFor(span_ms: number): Bucket {
  const found = BUCKETS.find(([, ms]) => span_ms / ms <= BUCKETS_MAX) ?? BUCKETS[BUCKETS.length - 1];
  const [period, ms] = found ?? ['P1Y', 31_557_600_000];
  return { period, ms };
}

/** Spans back from the newest row that a reader may choose. */
export const SPANS = [
  ['PT5M', 300_000],
  ['PT1H', 3_600_000],
  ['P1D', 86_400_000],
  ['P7D', 604_800_000],
] as const;

export interface Range {
  readonly from_ms: number;
  readonly to_ms: number;
  /** Follows the newest row. */
  readonly moving: boolean;
}

/** The range that an address names, within what the table holds. */
export function rangeOf(text: string, min_ms: number, max_ms: number): Range {
  const fixed = /^(-?\d{1,16})~(-?\d{1,16})$/.exec(text);
  if (fixed) {
    const [from_ms, to_ms] = [Number(fixed[1]), Number(fixed[2])];
    if (from_ms < to_ms) return { from_ms, to_ms, moving: false };
  }
  const span = SPANS.find(([name]) => name === text);
  if (span) return { from_ms: Math.max(min_ms, max_ms - span[1]), to_ms: max_ms, moving: true };
  return { from_ms: min_ms, to_ms: max_ms, moving: true };
}

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const sqlTime = (ms: number): string => `TIMESTAMP '${new Date(ms).toISOString().slice(0, 23).replace('T', ' ')}'`;

export interface ChartQuery {
  readonly table: string;
  readonly time: string;
  readonly measure: Measure;
  readonly bucket: Bucket;
  /** Rows before it are not asked for; null = from the first row. */
  readonly from_ms: number | null;
  /** Rows from it on are not asked for; null = to the newest. */
  readonly to_ms: number | null;
  readonly zone: string;
}

export type Measure =
  | { readonly kind: 'count' }
  | { readonly kind: 'sum' | 'avg'; readonly column: string };

/** `count`, `sum:column`, `avg:column`; anything else is a count. */
export function measureOf(text: string): Measure {
  const match = /^(sum|avg):(.+)$/s.exec(text);
  if (!match?.[1] || !match[2]) return { kind: 'count' };
  return { kind: match[1] === 'sum' ? 'sum' : 'avg', column: match[2] };
}

export function chartSql(q: ChartQuery): string {
  const time = quoteName(q.time);
  // Days and longer begin at the node's midnight, not at UTC's.
  const zone = q.bucket.ms >= 86_400_000 && q.zone !== 'UTC' ? `, NULL, '${q.zone.replaceAll("'", "''")}'` : '';
  const value = q.measure.kind === 'count' ? 'COUNT(*)' : `${q.measure.kind.toUpperCase()}(${quoteName(q.measure.column)})`;
  const bounds = [
    q.from_ms === null ? null : `${time} >= ${sqlTime(q.from_ms)}`,
    q.to_ms === null ? null : `${time} < ${sqlTime(q.to_ms)}`,
  ].filter((b) => b !== null);
  return [
    `SELECT TIME_FLOOR(${time}, '${q.bucket.period}'${zone}) AS "bucket", ${value} AS "value"`,
    `FROM ${quoteName(q.table)}`,
    ...(bounds.length > 0 ? [`WHERE ${bounds.join(' AND ')}`] : []),
    'GROUP BY 1',
    'ORDER BY 1',
  ].join('\n');
}

/** A timestamp as the node writes it (RFC 3339 text, or epoch milliseconds) in epoch milliseconds. */
export function timeOf(cell: unknown): number | null {
  if (typeof cell === 'number') return cell;
  if (typeof cell !== 'string') return null;
  const text = cell.includes('T') ? cell : cell.replace(' ', 'T');
  const ms = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
}

export interface Points {
  readonly times_ms: readonly number[];
  readonly values: readonly (number | null)[];
}

/** The rows of a chart's query, in time order. `gap` fills buckets without rows: 0 for counts and sums, null for averages. */
export function pointsOf(rows: readonly (readonly unknown[])[], bucket: Bucket, gap: 0 | null): Points {
  const found = new Map<number, number | null>();
  for (const row of rows) {
    const time = timeOf(row[0]);
    if (time !== null) found.set(time, row[1] === null || row[1] === undefined ? null : Number(row[1]));
  }
  const times = [...found.keys()].sort((a, b) => a - b);
  const [first, last] = [times[0], times.at(-1)];
  // Months differ in length, and so do days where clocks change: only even buckets are filled in.
  const even = first !== undefined && times.every((t) => (t - first) % bucket.ms === 0);
  if (first === undefined || last === undefined || !even || bucket.ms > 604_800_000 || (last - first) / bucket.ms > 5_000) {
    return { times_ms: times, values: times.map((t) => found.get(t) ?? null) };
  }
  const all = new Set(times);
  for (let t = first; t < last; t += bucket.ms) all.add(t);
  const filled = [...all].sort((a, b) => a - b);
  return { times_ms: filled, values: filled.map((t) => (found.has(t) ? (found.get(t) ?? null) : gap)) };
}
