// One topic: its records as they arrive, or read from any offset; its schema and partitions.
import { useMemo } from 'react';
import { useTopic } from '../../live/queries';
import type { FlowNode, Topic } from '../../api/types';
import { useLive } from '../../live/use';
import { useWords } from '../../i18n/use';
import { cx, Empty, Facts, Failure, KindIcon, Loading } from '../../part/basic';
import { Boundary } from '../../part/boundary';
import part from '../../part/part.module.css';
import type { TopicPlace, TopicTab } from '../../place/place';
import { Link } from '../../place/use';
import { nodePlace } from '../home/flow-graph';
import { RecordsTab } from './records-tab';
import css from './topic.module.css';

const TABS: readonly TopicTab[] = ['records', 'schema', 'partitions', 'config'];

export default function TopicPage({ place }: { readonly place: TopicPlace }) {
  const { t, f } = useWords();
  const topic = useTopic(place.name);
  const flow = useLive({ kind: 'flow' });
  const node = flow.value?.nodes.find((n) => (n.kind === 'topic' || n.kind === 'dead') && n.name === place.name);
  const near = (side: 'from' | 'to', other: 'from' | 'to'): FlowNode[] =>
    (flow.value?.edges ?? []).filter((e) => node && e[side] === node.id).flatMap((e) => flow.value?.nodes.filter((n) => n.id === e[other]) ?? []);
  return (
    <div className={css['page']}>
      <div className={part['pageHead']}>
        <h1>
          <KindIcon kind={place.name.startsWith('dead.') ? 'dead' : 'topic'} size={20} /> {place.name}
        </h1>
        <Near title={t('topic.madeBy')} nodes={near('to', 'from')} />
        <Near title={t('topic.usedBy')} nodes={near('from', 'to')} />
      </div>
      {topic.error ? <Failure error={topic.error} again={() => void topic.refetch()} /> : null}
      {topic.isPending ? <Loading /> : null}
      {topic.data ? (
        <>
          <Facts
            facts={[
              { name: t('topics.records'), value: f.count(topic.data.records) },
              { name: t('topics.rate'), value: f.rate(node?.rate_in ?? 0) },
              { name: t('topics.size'), value: f.bytes(topic.data.bytes) },
              { name: t('topics.partitions'), value: f.count(topic.data.partitions) },
              { name: t('home.node.last'), value: node?.last_ms ? f.clock(node.last_ms) : t('unit.never') },
            ]}
          />
          <nav className={css['tabs']} aria-label={t('topic.tabs')}>
            {TABS.map((tab) => (
              <Link key={tab} to={{ ...place, tab, record: null }} aria-current={tab === place.tab ? 'page' : undefined}>
                {t(`topic.tab.${tab}`)}
              </Link>
            ))}
          </nav>
          <Boundary key={place.tab}>
            <Tab topic={topic.data} place={place} />
          </Boundary>
        </>
      ) : null}
    </div>
  );
}

function Near({ title, nodes }: { readonly title: string; readonly nodes: readonly FlowNode[] }) {
  if (nodes.length === 0) return null;
  return (
    <p className={css['near']}>
      <span>{title}</span>
      {nodes.map((n) => (
        <Link key={n.id} to={nodePlace(n)}>
          <KindIcon kind={n.kind} size={14} /> {n.name}
        </Link>
      ))}
    </p>
  );
}

function Tab({ topic, place }: { readonly topic: Topic; readonly place: TopicPlace }) {
  const { t, f } = useWords();
  const rows = useMemo(() => {
    if (place.tab === 'schema') return (topic.schema ?? []).map((c) => [c.name, c.type]);
    if (place.tab === 'config') return Object.entries(topic.config);
    return [];
  }, [topic, place.tab]);
  switch (place.tab) {
    case 'records':
      return <RecordsTab topic={topic} place={place} />;
    case 'schema':
      return rows.length === 0 ? <div className={part['panel']}><Empty title={t('topic.schema.none')} /></div> : <Grid head={[t('topic.schema.field'), t('topic.schema.type')]} rows={rows} />;
    case 'config':
      return rows.length === 0 ? <div className={part['panel']}><Empty title={t('topic.config.none')} /></div> : <Grid head={[t('topic.config.name'), t('topic.config.value')]} rows={rows} />;
    case 'partitions':
      return (
        <Grid
          numbers
          head={[t('topic.col.partition'), t('topic.part.start'), t('topic.part.end'), t('topic.part.records')]}
          rows={topic.end_offsets.map((end, i) => [String(i), f.count(topic.start_offsets[i] ?? 0), f.count(end), f.count(end - (topic.start_offsets[i] ?? 0))])}
        />
      );
  }
}

function Grid({ head, rows, numbers }: { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[]; readonly numbers?: boolean }) {
  const right = (i: number) => cx(numbers && i > 0 && part['right']);
  return (
    <div className={cx(part['panel'], part['scroll'])}>
      <table className={cx(part['grid'], css['narrow'])}>
        <thead>
          <tr>{head.map((h, i) => <th key={h} scope="col" className={right(i)}>{h}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row[0]}>{row.map((cell, i) => <td key={head[i]} className={right(i)}>{cell}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
