// What a source, stream or lookup does now: it has no page of its own yet.
import type { Flow, FlowNode } from '../../api/types';
import { useWords } from '../../i18n/use';
import { Drawer, KindIcon, State } from '../../part/basic';
import { Link } from '../../place/use';
import { nodePlace } from './flow-graph';
import css from './home.module.css';

export function NodeDrawer({ node, flow, close }: { readonly node: FlowNode; readonly flow: Flow; readonly close: () => void }) {
  const { t, f } = useWords();
  const near = (side: 'from' | 'to', other: 'from' | 'to') =>
    flow.edges.filter((e) => e[side] === node.id).flatMap((e) => flow.nodes.filter((n) => n.id === e[other]));
  const time = (ms: number | null) => (ms === null ? t('unit.never') : f.dateTime(ms));
  const facts: readonly (readonly [string, string])[] = [
    [t('home.node.in'), f.count(node.in_total)],
    [t('home.node.out'), f.count(node.out_total)],
    [t('home.node.filtered'), f.count(node.filtered_total)],
    [t('home.node.dead'), f.count(node.dead_total)],
    [t('home.node.lag'), f.count(node.lag)],
    [t('home.node.rateIn'), f.rate(node.rate_in)],
    [t('home.node.rateOut'), f.rate(node.rate_out)],
    [t('home.node.bytes'), f.bytes(node.bytes)],
    [t('home.node.watermark'), time(node.watermark_ms)],
    [t('home.node.last'), time(node.last_ms)],
  ];
  return (
    <Drawer
      label={`${t(`kind.${node.kind}`)} ${node.name}`}
      title={<span className={css['drawerTitle']}><KindIcon kind={node.kind} /> {node.name}</span>}
      close={close}
    >
      <div className={css['drawer']}>
        <State state={node.state} />
        {node.message ? <p className={css['message']}>{node.message}</p> : null}
        <dl className={css['list']}>
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <Near title={t('home.node.from')} nodes={near('to', 'from')} />
        <Near title={t('home.node.to')} nodes={near('from', 'to')} />
      </div>
    </Drawer>
  );
}

function Near({ title, nodes }: { readonly title: string; readonly nodes: readonly FlowNode[] }) {
  if (nodes.length === 0) return null;
  return (
    <div>
      <h3>{title}</h3>
      <ul>
        {nodes.map((n) => (
          <li key={n.id}>
            <Link to={nodePlace(n)}><KindIcon kind={n.kind} size={14} /> {n.name}</Link>
          </li>
        ))}
      </ul>
    </div>
  );
}
