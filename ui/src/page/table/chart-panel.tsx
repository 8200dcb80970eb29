// A table over time: one measure in buckets that fit the range, live.
import { useMemo, useRef, useState } from 'react';
import { ApiError } from '../../api/client';
import type { SqlResult, Table } from '../../api/types';
import { bucketFor, type Bucket, chartSql, type Measure, measureOf, type Points, pointsOf, type Range, rangeOf, SPANS } from '../../chart/bucket';
import { useLiveMaybe } from '../../live/use';
import type { Words } from '../../i18n/use';
import { useWords } from '../../i18n/use';
import { Button, cx, Empty, Failure, Loading, Panel, Segmented } from '../../part/basic';
import { Icon } from '../../part/icon';
import part from '../../part/part.module.css';
import { isNumber } from '../../part/result-grid';
import { TimeChart } from '../../part/time-chart';
import type { TablePlace } from '../../place/place';
import { useGo } from '../../place/use';
import css from './table.module.css';

const CHART_HEIGHT = 260;
/** A moving range asks anew only after this many buckets: between, the subscription goes on. */
const MOVE_BUCKETS = 16;
/** A newest row younger than this many buckets means that its bucket still fills. */
const FILLING_BUCKETS = 2;

export function ChartPanel({ table, place }: { readonly table: Table; readonly place: TablePlace }) {
  const { t } = useWords();
  const { time_column, min_ms, max_ms } = table;
  if (!time_column) return <Panel title={t('table.chart')}><Empty title={t('table.chart.noTime')} /></Panel>;
  if (min_ms === null || max_ms === null) return <Panel title={t('table.chart')}><Empty title={t('table.chart.empty')} /></Panel>;
  return <Chart table={table} place={place} time={time_column} min_ms={min_ms} max_ms={max_ms} />;
}

interface ChartProps {
  readonly table: Table;
  readonly place: TablePlace;
  readonly time: string;
  readonly min_ms: number;
  readonly max_ms: number;
}

function Chart({ table, place, time, min_ms, max_ms }: ChartProps) {
  const words = useWords();
  const { t, zone } = words;
  const go = useGo();
  const [asTable, setAsTable] = useState(false);
  const range = rangeOf(place.range, min_ms, max_ms);
  const bucket = bucketFor(range.to_ms - range.from_ms);
  const measure = measureOf(place.measure);
  const sql = chartSql({ table: table.name, time, measure, bucket, zone, ...bounds(place.range, range, bucket) });
  const live = useLiveMaybe({ kind: 'query', sql });
  const kept = useKept(live.value, `${place.measure} ${bucket.period}`);
  const from = place.range === 'all' ? -Infinity : range.from_ms - bucket.ms;
  const points = useMemo(() => {
    const all = pointsOf(kept.result?.rows ?? [], bucket, measure.kind === 'avg' ? null : 0);
    const start = all.times_ms.findIndex((ms) => ms > from);
    return start <= 0 ? all : { times_ms: all.times_ms.slice(start), values: all.values.slice(start) };
  }, [kept.result, bucket.ms, measure.kind, from]);

  const name = measureName(measure, words);
  const bucketName = t(`bucket.${bucket.period}`);
  const filling = range.moving && Date.now() - max_ms < FILLING_BUCKETS * bucket.ms;
  const last = points.values.at(-1);
  const label = t('table.chart.label', { measure: name, bucket: bucketName, n: points.times_ms.length, last: last === null || last === undefined ? '–' : words.f.value(last) });
  return (
    <Panel
      title={t('table.chart')}
      tools={<Tools table={table} place={place} time={time} bucketName={bucketName} asTable={asTable} setAsTable={setAsTable} />}
    >
      {live.error ? <Failure error={new ApiError(400, live.error)} /> : null}
      {!live.error && kept.result === null ? <Loading /> : null}
      {kept.result && points.times_ms.length === 0 ? <Empty title={t('table.chart.empty')} /> : null}
      {points.times_ms.length > 0 ? (
        <div className={cx(css['chart'], kept.stale && part['stale'])}>
          {asTable ? (
            <PointsTable points={points} name={name} />
          ) : (
            <TimeChart
              points={points}
              bucket_ms={bucket.ms}
              bars={measure.kind !== 'avg'}
              unfinished={filling}
              label={label}
              height={CHART_HEIGHT}
              zoom={(a, b) => go({ ...place, range: `${a}~${b}` })}
              back={() => go({ ...place, range: 'all' })}
            />
          )}
          <p className={css['hint']}>
            {t('table.chart.hint')}
            {filling ? ` · ${t('table.chart.unfinished')}` : ''}
          </p>
        </div>
      ) : null}
    </Panel>
  );
}

/** The query's limits. A moving range begins at a round place, so that its text stays the same for a while. */
function bounds(text: string, range: Range, bucket: Bucket): { from_ms: number | null; to_ms: number | null } {
  if (text === 'all') return { from_ms: null, to_ms: null };
  if (!range.moving) return { from_ms: range.from_ms, to_ms: range.to_ms };
  const step = bucket.ms * MOVE_BUCKETS;
  return { from_ms: Math.floor(range.from_ms / step) * step, to_ms: null };
}

/** The newest answer, or the one before while the next is on its way; never one of another measure. */
function useKept(value: SqlResult | null, key: string): { readonly result: SqlResult | null; readonly stale: boolean } {
  const kept = useRef<{ key: string; result: SqlResult | null }>({ key, result: null });
  if (value) kept.current = { key, result: value };
  else if (kept.current.key !== key) kept.current = { key, result: null };
  return { result: kept.current.result, stale: value === null && kept.current.result !== null };
}

function measureName(measure: Measure, { t }: Words): string {
  if (measure.kind === 'count') return t('table.chart.count');
  return t(measure.kind === 'sum' ? 'table.chart.sum' : 'table.chart.avg', { column: measure.column });
}

interface ToolsProps {
  readonly table: Table;
  readonly place: TablePlace;
  readonly time: string;
  readonly bucketName: string;
  readonly asTable: boolean;
  readonly setAsTable: (on: boolean) => void;
}

function Tools({ table, place, time, bucketName, asTable, setAsTable }: ToolsProps) {
  const { t, f } = useWords();
  const go = useGo();
  const numbers = table.columns.filter((c) => isNumber(c) && c.name !== time);
  const zoomed = place.range.includes('~');
  const ranges = [
    ...SPANS.filter(([, ms]) => table.max_ms !== null && table.min_ms !== null && table.max_ms - table.min_ms > ms).map(([value, ms]) => ({ value: value as string, text: f.span(ms) })),
    { value: 'all', text: t('table.chart.all') },
    ...(zoomed ? [{ value: place.range, text: t('table.chart.zoomed') }] : []),
  ];
  return (
    <>
      <select className={part['field']} aria-label={t('table.chart.measure')} value={place.measure} onChange={(e) => go({ ...place, measure: e.target.value })}>
        <option value="count">{t('table.chart.count')}</option>
        {numbers.map((c) => (
          <option key={`sum:${c.name}`} value={`sum:${c.name}`}>{t('table.chart.sum', { column: c.name })}</option>
        ))}
        {numbers.map((c) => (
          <option key={`avg:${c.name}`} value={`avg:${c.name}`}>{t('table.chart.avg', { column: c.name })}</option>
        ))}
      </select>
      <span className={part['soft']}>{t('table.chart.bucket', { bucket: bucketName })}</span>
      <span className={part['push']} />
      {ranges.length > 1 ? <Segmented label={t('table.chart.range')} value={place.range} choices={ranges} choose={(range) => go({ ...place, range })} /> : null}
      <Button small on={asTable} aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
        <Icon name={asTable ? 'chart' : 'table'} size={14} /> {t(asTable ? 'table.chart.asChart' : 'table.chart.asTable')}
      </Button>
    </>
  );
}

function PointsTable({ points, name }: { readonly points: Points; readonly name: string }) {
  const { t, f } = useWords();
  return (
    <div className={css['points']} tabIndex={0} role="group" aria-label={name}>
      <table className={part['grid']}>
        <thead>
          <tr>
            <th scope="col">{t('table.chart.time')}</th>
            <th scope="col" className={part['right']}>{name}</th>
          </tr>
        </thead>
        <tbody>
          {points.times_ms.map((ms, i) => {
            const value = points.values[i];
            return (
              <tr key={ms}>
                <td>{f.dateTime(ms)}</td>
                <td className={part['right']}>{value === null || value === undefined ? '–' : f.value(value)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
