// The flow as a left-to-right graph. Nodes are links in reading order, so that the keyboard and a
// screen reader go the way the data goes; the lines between are a picture only.
import { type CSSProperties, Fragment, type ReactNode, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Flow, FlowEdge, FlowNode } from '../../api/types';
import { type Layout, layoutFlow, wayPath, wayPoint } from '../../chart/flow-layout';
import { useWords } from '../../i18n/use';
import { KindIcon, State } from '../../part/basic';
import { type Place, tablePlace, topicPlace } from '../../place/place';
import { Link } from '../../place/use';
import css from './flow-graph.module.css';

const NODE_HEIGHT = 116;
const PAD = 20;

export function nodePlace(node: FlowNode): Place {
  if (node.kind === 'topic') return topicPlace(node.name);
  if (node.kind === 'table') return tablePlace(node.name);
  if (node.kind === 'dead') return { page: 'quality', topic: deadTopic(node.name), record: null };
  return { page: 'home', node: node.id };
}

const deadTopic = (name: string): string => (name.startsWith('dead.') ? name : `dead.${name}`);

export function FlowGraph({ flow, chosen }: { readonly flow: Flow; readonly chosen: string | null }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth - 2 * PAD);
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    measure();
    return () => watch.disconnect();
  }, []);
  // The layout depends on the graph's shape alone: moving figures do not compute it again.
  const shape = JSON.stringify([flow.nodes.map((n) => [n.id, n.kind]), flow.edges.map((e) => [e.from, e.to])]);
  const layout = useMemo(() => {
    const [nodes, edges] = JSON.parse(shape) as [[string, string][], [string, string][]];
    return layoutFlow(
      nodes.map(([id, kind]) => ({ id, minor: kind === 'dead' || kind === 'lookup' })),
      edges.map(([from, to]) => ({ from, to })),
      { width, nodeHeight: NODE_HEIGHT, nodeWidthMin: 146, nodeWidthMax: 228, gapX: 64, gapY: 24 },
    );
  }, [shape, width]);
  const order = [...flow.nodes].sort((a, b) => place(layout, a).x - place(layout, b).x || place(layout, a).y - place(layout, b).y);
  return (
    <div ref={box} className={css['box']}>
      {width > 0 ? (
        <div className={css['canvas']} style={{ width: layout.width, height: layout.height }}>
          <Edges flow={flow} layout={layout} />
          <ul>
            {order.map((node) => (
              <Node key={node.id} node={node} chosen={node.id === chosen} style={{ left: place(layout, node).x, top: place(layout, node).y, width: layout.nodeWidth, height: NODE_HEIGHT }} />
            ))}
          </ul>
        </div>
      ) : null}
    </div>
  );
}

const place = (layout: Layout, node: FlowNode) => layout.boxes.get(node.id) ?? { x: 0, y: 0 };

function Edges({ flow, layout }: { readonly flow: Flow; readonly layout: Layout }) {
  const { f } = useWords();
  const out = degrees(flow.edges, 'from');
  const most = Math.max(1, ...flow.edges.map((e) => e.rate));
  return (
    <svg className={css['edges']} width={layout.width} height={layout.height} aria-hidden="true">
      {flow.edges.map((edge) => {
        const way = layout.ways.get(`${edge.from}\n${edge.to}`);
        if (!way) return null;
        const wide = edge.rate > 0 ? 1.5 + 3.5 * (Math.log1p(edge.rate) / Math.log1p(most)) : 1.5;
        const fans = (out.get(edge.from) ?? 0) > 1;
        const at = wayPoint(way, way.length > 2 ? 0.5 : fans ? 0.62 : 0.5, fans);
        return (
          <g key={`${edge.from}\n${edge.to}`} data-edge={`${edge.from} ${edge.to}`} data-rate={edge.rate} data-moving={edge.rate > 0}>
            <path d={wayPath(way)} strokeWidth={wide} />
            {edge.rate > 0 ? <path className={css['flow']} d={wayPath(way)} strokeWidth={Math.max(1.5, wide - 1.5)} /> : null}
            <text x={at.x} y={at.y - 8}>{edge.rate > 0 ? f.rate(edge.rate) : ''}</text>
          </g>
        );
      })}
    </svg>
  );
}

function degrees(edges: readonly FlowEdge[], side: 'from' | 'to'): Map<string, number> {
  const found = new Map<string, number>();
  for (const e of edges) found.set(e[side], (found.get(e[side]) ?? 0) + 1);
  return found;
}

/** The records a node stands for: what a source made, a topic holds, a stream wrote, a table took. */
export const totalOf = (node: FlowNode): number => (TAKES.has(node.kind) ? node.in_total - node.dead_total - node.filtered_total : node.out_total);
export const rateOf = (node: FlowNode): number => (TAKES.has(node.kind) ? node.rate_in : node.rate_out);
/** Kinds that hold records: what they took counts, not what was read from them. */
const TAKES: ReadonlySet<string> = new Set(['topic', 'dead', 'table']);

function Node({ node, chosen, style }: { readonly node: FlowNode; readonly chosen: boolean; readonly style: CSSProperties }) {
  const { t, f } = useWords();
  const total = totalOf(node);
  const rate = rateOf(node);
  return (
    <li className={css['node']} data-kind={node.kind} data-state={node.state} data-chosen={chosen} data-node={node.id} data-total={total} style={style}>
      <Link
        to={nodePlace(node)}
        title={node.message ?? node.name}
        aria-current={chosen ? 'true' : undefined}
      >
        <span className={css['name']}>
          <KindIcon kind={node.kind} />
          <b>{breakable(node.kind === 'dead' ? node.name.replace(/^dead\./, '') : node.name)}</b>
        </span>
        <span className={css['state']}>
          <span>{t(`kind.${node.kind}`)}</span>
          {node.kind === 'dead' || node.kind === 'topic' ? null : <State state={node.state} />}
        </span>
        <span className={css['numbers']}>
          <b title={f.count(total)}>{f.short(total)}</b>
          <span>{rate > 0 ? f.rate(rate) : ''}</span>
        </span>
        <span className={css['badges']}>
          {node.lag > 0 ? <span className={css['lag']}>{t('home.node.lagBadge', { n: f.short(node.lag) })}</span> : null}
          {node.dead_total > 0 && node.kind !== 'dead' ? <span className={css['dead']}>{t('home.node.deadBadge', { n: f.short(node.dead_total) })}</span> : null}
        </span>
      </Link>
    </li>
  );
}

/** A name may break after its separators rather than inside a word. */
function breakable(name: string): ReactNode {
  return name.split(/(?<=[._/-])/).map((word, i) => (
    <Fragment key={i}>
      {i > 0 ? <wbr /> : null}
      {word}
    </Fragment>
  ));
}
