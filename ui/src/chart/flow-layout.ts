// Where the parts of the flow stand: a left-to-right layered drawing, computed from nodes and edges
// alone. Invariant: pure and stable; the same graph in the same order gives the same picture, and
// totals or rates never move a node.

export interface LayoutNode {
  readonly id: string;
  /** Beside the main way (lookups, dead letters): drawn below it, and never bends it. */
  readonly minor: boolean;
}
export interface LayoutEdge {
  readonly from: string;
  readonly to: string;
}
export interface LayoutSize {
  readonly width: number;
  readonly nodeHeight: number;
  readonly nodeWidthMin: number;
  readonly nodeWidthMax: number;
  readonly gapX: number;
  readonly gapY: number;
}
export interface Box {
  readonly x: number;
  readonly y: number;
}
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly nodeWidth: number;
  readonly boxes: ReadonlyMap<string, Box>;
  /** Points an edge passes, from the right side of one node to the left side of the other. */
  readonly ways: ReadonlyMap<string, readonly Box[]>;
}

interface Slot {
  readonly id: string;
  readonly layer: number;
  readonly height: number;
  readonly minor: boolean;
  y: number;
  readonly before: Slot[];
  readonly after: Slot[];
}

const BEND_HEIGHT = 12;
/** Odd, so that the last sweep goes the way the data goes. */
const SWEEPS = 9;

export function layoutFlow(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[], size: LayoutSize): Layout {
  const known = new Set(nodes.map((n) => n.id));
  const drawn = edges.filter((e) => known.has(e.from) && known.has(e.to) && e.from !== e.to);
  const layers = layersOf(nodes, drawn);
  const count = Math.max(1, ...[...layers.values()].map((l) => l + 1));
  const room = (size.width - (count - 1) * size.gapX) / count;
  const nodeWidth = Math.floor(Math.min(size.nodeWidthMax, Math.max(size.nodeWidthMin, room)));
  const boxes = new Map<string, Box>();
  const ways = new Map<string, readonly Box[]>();
  let top = 0;
  // Flows that share nothing stand below each other.
  for (const group of groupsOf(nodes, drawn)) {
    const ids = new Set(group.map((n) => n.id));
    const height = layoutGroup(group, drawn.filter((e) => ids.has(e.from)), { layers, count, nodeWidth, top, size, boxes, ways });
    top += height + size.gapY;
  }
  return { width: count * nodeWidth + (count - 1) * size.gapX, height: Math.max(0, top - size.gapY), nodeWidth, boxes, ways };
}

interface Sheet {
  readonly layers: ReadonlyMap<string, number>;
  readonly count: number;
  readonly nodeWidth: number;
  readonly top: number;
  readonly size: LayoutSize;
  readonly boxes: Map<string, Box>;
  readonly ways: Map<string, readonly Box[]>;
}

/** Draws nodes that hang together onto the sheet; says how high they are. */
function layoutGroup(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[], sheet: Sheet): number {
  const { layers, nodeWidth, size, top } = sheet;
  const columns: Slot[][] = Array.from({ length: sheet.count }, () => []);
  const slots = new Map<string, Slot>();
  for (const n of nodes) {
    const slot: Slot = { id: n.id, layer: layers.get(n.id) ?? 0, height: size.nodeHeight, minor: n.minor, y: 0, before: [], after: [] };
    slots.set(n.id, slot);
    columns[slot.layer]?.push(slot);
  }
  const bends = connect(edges, slots, columns);
  order(columns);
  place(columns, size.gapY);
  const left = (layer: number) => layer * (nodeWidth + size.gapX);
  const middle = (s: Slot) => top + s.y + s.height / 2;
  for (const [id, s] of slots) sheet.boxes.set(id, { x: left(s.layer), y: top + s.y });
  for (const e of edges) {
    const [from, to] = [slots.get(e.from), slots.get(e.to)];
    if (!from || !to) continue;
    sheet.ways.set(`${e.from}\n${e.to}`, [
      { x: left(from.layer) + nodeWidth, y: middle(from) },
      ...(bends.get(e) ?? []).flatMap((s) => [{ x: left(s.layer), y: middle(s) }, { x: left(s.layer) + nodeWidth, y: middle(s) }]),
      { x: left(to.layer), y: middle(to) },
    ]);
  }
  return Math.max(...columns.flat().map((s) => s.y + s.height));
}

/** Nodes that hang together, in the order of their first node. */
function groupsOf(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[]): LayoutNode[][] {
  const root = new Map(nodes.map((n) => [n.id, n.id]));
  const find = (id: string): string => {
    let at = id;
    for (let up = root.get(at); up !== undefined && up !== at; up = root.get(at)) at = up;
    return at;
  };
  for (const e of edges) root.set(find(e.to), find(e.from));
  const groups = new Map<string, LayoutNode[]>();
  for (const n of nodes) {
    const id = find(n.id);
    const group = groups.get(id);
    if (group) group.push(n);
    else groups.set(id, [n]);
  }
  return [...groups.values()];
}

/** Longest way from a start; starts are then pulled next to what they feed. A cycle's closing edge counts for nothing. */
function layersOf(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[]): Map<string, number> {
  const after = new Map<string, string[]>();
  for (const e of edges) after.set(e.from, [...(after.get(e.from) ?? []), e.to]);
  const layer = new Map<string, number>();
  const open = new Set<string>();
  const push = (id: string, at: number): void => {
    if (open.has(id) || (layer.get(id) ?? -1) >= at) return;
    layer.set(id, at);
    open.add(id);
    for (const next of after.get(id) ?? []) push(next, at + 1);
    open.delete(id);
  };
  const fed = new Set(edges.map((e) => e.to));
  for (const n of nodes) if (!fed.has(n.id)) push(n.id, 0);
  for (const n of nodes) if (!layer.has(n.id)) push(n.id, 0);
  for (const n of nodes) {
    const targets = (after.get(n.id) ?? []).map((id) => layer.get(id) ?? 0);
    if (!fed.has(n.id) && targets.length > 0) layer.set(n.id, Math.max(0, Math.min(...targets) - 1));
  }
  return layer;
}

/** Joins slots; an edge over several layers gets a bend in each layer between, so that it avoids nodes. */
function connect(edges: readonly LayoutEdge[], slots: ReadonlyMap<string, Slot>, columns: Slot[][]): Map<LayoutEdge, Slot[]> {
  const bends = new Map<LayoutEdge, Slot[]>();
  for (const e of edges) {
    const [from, to] = [slots.get(e.from), slots.get(e.to)];
    if (!from || !to) continue;
    const list: Slot[] = [];
    let at = from;
    for (let layer = from.layer + 1; layer < to.layer; layer++) {
      const bend: Slot = { id: `${e.from}\n${e.to}\n${layer}`, layer, height: BEND_HEIGHT, minor: false, y: 0, before: [at], after: [] };
      at.after.push(bend);
      columns[layer]?.push(bend);
      list.push(bend);
      at = bend;
    }
    at.after.push(to);
    to.before.push(at);
    bends.set(e, list);
  }
  return bends;
}

/** Fewer crossings: each column is sorted by the mean place of its neighbours, from both sides in turn. */
function order(columns: Slot[][]): void {
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forward = sweep % 2 === 0;
    const list = forward ? columns : [...columns].reverse();
    for (const column of list) {
      const rank = new Map(columns.flatMap((c) => c.map((s, i) => [s.id, (i + 0.5) / c.length] as const)));
      const want = new Map(column.map((s) => [s.id, mean((forward ? s.before : s.after).map((n) => rank.get(n.id) ?? 0)) ?? rank.get(s.id) ?? 0]));
      column.sort((a, b) => Number(a.minor) - Number(b.minor) || (want.get(a.id) ?? 0) - (want.get(b.id) ?? 0));
    }
  }
}

/** Heights: a node stands level with its neighbours where the order leaves room. */
function place(columns: Slot[][], gap: number): void {
  for (const column of columns) spread(column, column.map((s) => s.height / 2), gap);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const list = sweep % 2 === 0 ? columns : [...columns].reverse();
    for (const column of list) {
      const want = column.map((s) => {
        const near = sweep % 2 === 0 ? s.before : s.after;
        const other = near.length > 0 ? near : sweep % 2 === 0 ? s.after : s.before;
        return mean(other.filter((n) => !n.minor).map((n) => n.y + n.height / 2)) ?? s.y + s.height / 2;
      });
      spread(column, want, gap);
    }
  }
  const top = Math.min(...columns.flat().map((s) => s.y));
  for (const s of columns.flat()) s.y -= top;
}

/** The nearest places to those wanted (middles) that keep the order and do not overlap. */
function spread(column: readonly Slot[], want: readonly number[], gap: number): void {
  interface Block { readonly slots: Slot[]; weight: number; sum: number; height: number }
  const blocks: Block[] = [];
  const top = (b: Block) => b.sum / b.weight;
  column.forEach((s, i) => {
    // The main way keeps its line; what hangs below it moves.
    const weight = s.minor ? 0.001 : 1;
    const block: Block = { slots: [s], weight, sum: weight * ((want[i] ?? 0) - s.height / 2), height: s.height };
    for (let above = blocks.at(-1); above && top(above) + above.height + gap > top(block); above = blocks.at(-1)) {
      blocks.pop();
      // Every member wants the block's top where its own wish puts it.
      const shift = above.height + gap;
      block.sum = above.sum + block.sum - shift * block.weight;
      block.weight += above.weight;
      block.height += shift;
      block.slots.unshift(...above.slots);
    }
    blocks.push(block);
  });
  for (const b of blocks) {
    let y = top(b);
    for (const s of b.slots) {
      s.y = y;
      y += s.height + gap;
    }
  }
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
}

/** The curve through a way's points. */
export function wayPath(way: readonly Box[]): string {
  return way.reduce((path, p, i) => {
    const before = way[i - 1];
    if (!before) return `M${p.x} ${p.y}`;
    if (before.y === p.y) return `${path}L${p.x} ${p.y}`;
    const half = (p.x - before.x) / 2;
    return `${path}C${before.x + half} ${before.y} ${p.x - half} ${p.y} ${p.x} ${p.y}`;
  }, '');
}

/** A point of the first (or last) curve of a way, `share` of the way along it. */
export function wayPoint(way: readonly Box[], share: number, fromEnd: boolean): Box {
  const [a, b] = fromEnd ? [way.at(-2), way.at(-1)] : [way[0], way[1]];
  if (!a || !b) return { x: 0, y: 0 };
  // The same cubic as `wayPath`, at parameter `share`.
  const s = share;
  const r = 1 - s;
  const half = (b.x - a.x) / 2;
  const x = r ** 3 * a.x + 3 * r * r * s * (a.x + half) + 3 * r * s * s * (b.x - half) + s ** 3 * b.x;
  const y = (r ** 3 + 3 * r * r * s) * a.y + (3 * r * s * s + s ** 3) * b.y;
  return { x, y };
}
