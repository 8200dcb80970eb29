// How a snapshot or a delta changes what a page shows: pure functions, one pair for each kind
// of subscription. Invariant: a record is shown once however often it is sent, and a hole
// between what was shown and what arrives is named, never hidden.
import type { Flow, FlowDelta, FlowEdge, FlowNode, KafkaRecord } from '../api/types';

/** Records kept in memory for one live tail. */
export const TAIL_ROWS_MAX = 2_000;

export const edgeId = (edge: { readonly from: string; readonly to: string }): string => `${edge.from}\n${edge.to}`;

export function mergeFlow(flow: Flow, delta: FlowDelta): Flow {
  const goneNodes = new Set(delta.removed_nodes ?? []);
  const goneEdges = new Set((delta.removed_edges ?? []).map(edgeId));
  return {
    at_ms: delta.at_ms ?? flow.at_ms,
    nodes: mergeBy<FlowNode>(flow.nodes, delta.nodes ?? [], (n) => n.id).filter((n) => !goneNodes.has(n.id)),
    edges: mergeBy<FlowEdge>(flow.edges, delta.edges ?? [], edgeId).filter(
      (e) => !goneEdges.has(edgeId(e)) && !goneNodes.has(e.from) && !goneNodes.has(e.to),
    ),
  };
}

function mergeBy<T>(old: readonly T[], changed: readonly T[], key: (item: T) => string): T[] {
  if (changed.length === 0) return [...old];
  const next = new Map(changed.map((item) => [key(item), item]));
  const merged = old.map((item) => {
    const id = key(item);
    const other = next.get(id);
    next.delete(id);
    return other ?? item;
  });
  return [...merged, ...next.values()];
}

/** Records of one partition that were written but never reached this page. */
export interface Gap {
  readonly partition: number;
  readonly from: number;
  /** First offset after the hole. */
  readonly to: number;
}

export interface Tail {
  /** Newest first. */
  readonly rows: readonly KafkaRecord[];
  readonly gaps: readonly Gap[];
  /** Records that arrived since the page opened. */
  readonly seen: number;
}

export const EMPTY_TAIL: Tail = { rows: [], gaps: [], seen: 0 };

/** Adds records in any order; those already held are dropped. */
export function mergeTail(tail: Tail, records: readonly KafkaRecord[]): Tail {
  if (records.length === 0) return tail;
  const last = new Map<number, number>();
  for (const r of tail.rows) last.set(r.partition, Math.max(last.get(r.partition) ?? -1, r.offset));
  const fresh = records.filter((r) => r.offset > (last.get(r.partition) ?? -1));
  if (fresh.length === 0) return tail;
  const gaps = [...tail.gaps, ...holes(last, fresh)];
  // The sort is stable over time, then offset: partitions interleave as they were written.
  const added = [...fresh].sort((a, b) => b.timestamp_ms - a.timestamp_ms || b.offset - a.offset);
  const rows = [...added, ...tail.rows].slice(0, TAIL_ROWS_MAX);
  return { rows, gaps: gaps.slice(-20), seen: tail.seen + fresh.length };
}

/** True when a partition's newest offset in a snapshot lies before what is held: the topic was made anew. */
export function madeAnew(tail: Tail, snapshot: readonly KafkaRecord[]): boolean {
  const newest = (records: readonly KafkaRecord[]): Map<number, number> => {
    const found = new Map<number, number>();
    for (const r of records) found.set(r.partition, Math.max(found.get(r.partition) ?? -1, r.offset));
    return found;
  };
  const held = newest(tail.rows);
  return [...newest(snapshot)].some(([partition, offset]) => offset < (held.get(partition) ?? -1));
}

function holes(last: ReadonlyMap<number, number>, fresh: readonly KafkaRecord[]): Gap[] {
  const first = new Map<number, number>();
  for (const r of fresh) first.set(r.partition, Math.min(first.get(r.partition) ?? Infinity, r.offset));
  const found: Gap[] = [];
  for (const [partition, to] of first) {
    const held = last.get(partition);
    if (held !== undefined && to > held + 1) found.push({ partition, from: held + 1, to });
  }
  return found;
}

/** Puts records fetched for a hole where they belong and closes that hole. */
export function fillGap(tail: Tail, gap: Gap, records: readonly KafkaRecord[]): Tail {
  const held = new Set(tail.rows.map((r) => `${r.partition}:${r.offset}`));
  const inside = records.filter(
    (r) => r.partition === gap.partition && r.offset >= gap.from && r.offset < gap.to && !held.has(`${r.partition}:${r.offset}`),
  );
  const rows = [...tail.rows, ...inside]
    .sort((a, b) => b.timestamp_ms - a.timestamp_ms || b.offset - a.offset)
    .slice(0, TAIL_ROWS_MAX);
  return { rows, gaps: tail.gaps.filter((g) => g !== gap), seen: tail.seen + inside.length };
}

/** Records that topics have received, over the whole flow: the figure that waits while paused. */
export function arrived(flow: Flow): number {
  return flow.nodes.reduce((sum, n) => (n.kind === 'topic' ? sum + n.in_total : sum), 0);
}
