// Four figures above the flow, each with its last two minutes.
import { type ReactNode, useRef } from 'react';
import type { Flow } from '../../api/types';
import { sparkPath } from '../../chart/spark';
import { useWords } from '../../i18n/use';
import { Link } from '../../place/use';
import { rateOf, totalOf } from './flow-graph';
import css from './home.module.css';

/** Samples kept: two minutes at one a second. */
const HISTORY_MAX = 120;
const SAMPLE_MS = 1_000;

interface Figures {
  readonly inRate: number;
  readonly inTotal: number;
  readonly rows: number;
  readonly rowRate: number;
  readonly lag: number;
  readonly dead: number;
}

function figures(flow: Flow): Figures {
  const made: { -readonly [K in keyof Figures]: Figures[K] } = { inRate: 0, inTotal: 0, rows: 0, rowRate: 0, lag: 0, dead: 0 };
  const written = new Set(flow.edges.map((e) => e.to));
  for (const n of flow.nodes) {
    // What enters: sources, and topics that only outside clients write to.
    if (n.kind === 'source') {
      made.inRate += n.rate_out;
      made.inTotal += n.out_total;
    } else if (n.kind === 'topic' && !written.has(n.id)) {
      made.inRate += n.rate_in;
      made.inTotal += n.in_total;
    } else if (n.kind === 'table') {
      made.rows += totalOf(n);
      made.rowRate += rateOf(n);
    }
    if (n.kind !== 'dead') made.dead += n.dead_total;
    if (n.kind === 'stream' || n.kind === 'table') made.lag += n.lag;
  }
  return made;
}

export function Tiles({ flow }: { readonly flow: Flow }) {
  const { t, f } = useWords();
  const now = figures(flow);
  const history = useHistory(flow.at_ms, now);
  return (
    <div className={css['tiles']}>
      <Tile name={t('home.in')} value={f.rate(now.inRate)} detail={t('home.total', { n: now.inTotal })} line={history.map((h) => h.inRate)} seconds={history.length} />
      <Tile name={t('home.out')} value={f.count(now.rows)} detail={`+${f.rate(now.rowRate)}`} line={history.map((h) => h.rowRate)} seconds={history.length} />
      <Tile name={t('home.lag')} value={f.count(now.lag)} detail={t(now.lag > 0 ? 'home.lag.some' : 'home.lag.none')} line={history.map((h) => h.lag)} seconds={history.length} />
      <Tile
        name={t('home.dead')}
        value={now.dead > 0 ? <Link to={{ page: 'quality', topic: null, record: null }}>{f.count(now.dead)}</Link> : f.count(0)}
        detail={t(now.dead > 0 ? 'home.dead.some' : 'home.dead.none')}
        line={history.map((h) => h.dead)}
        seconds={history.length}
      />
    </div>
  );
}

/** One sample a second while Home is open, kept over visits in this tab. */
const kept: { at_ms: number; figures: Figures }[] = [];

function useHistory(at_ms: number, now: Figures): readonly Figures[] {
  const shown = useRef<readonly Figures[]>([]);
  const last = kept.at(-1);
  if (!last || at_ms - last.at_ms >= SAMPLE_MS) {
    kept.push({ at_ms, figures: now });
    if (kept.length > HISTORY_MAX) kept.shift();
    shown.current = kept.map((k) => k.figures);
  }
  return shown.current.length > 0 ? shown.current : kept.map((k) => k.figures);
}

interface TileProps {
  readonly name: string;
  readonly value: ReactNode;
  readonly detail: string;
  readonly line: readonly number[];
  readonly seconds: number;
}

function Tile({ name, value, detail, line, seconds }: TileProps) {
  const { t } = useWords();
  return (
    <dl className={css['tile']}>
      <dt>{name}</dt>
      <dd className={css['value']}>{value}</dd>
      <dd className={css['detail']}>{detail}</dd>
      <dd className={css['spark']} title={t('home.history', { n: seconds })}>
        <svg viewBox="0 0 120 34" preserveAspectRatio="none" aria-hidden="true">
          <path d={sparkPath(line, 120, 34)} />
        </svg>
      </dd>
    </dl>
  );
}
